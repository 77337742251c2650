{{/* Names. */}}
{{- define "telovix-agent.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "telovix-agent.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "telovix-agent.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "telovix-agent.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "telovix-agent.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "telovix-agent.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "telovix-agent.secretName" -}}
{{- default (printf "%s-token" (include "telovix-agent.fullname" . | trunc 57 | trimSuffix "-")) .Values.sensor.existingSecret -}}
{{- end -}}

{{- define "telovix-agent.caName" -}}
{{- printf "%s-ca" (include "telovix-agent.fullname" . | trunc 60 | trimSuffix "-") -}}
{{- end -}}

{{- define "telovix-agent.selectorLabels" -}}
app.kubernetes.io/name: {{ include "telovix-agent.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "telovix-agent.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "telovix-agent.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/component: sensor
app.kubernetes.io/part-of: telovix
{{- end -}}

{{- define "telovix-agent.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* The port of an https or http address that the schema has let through. */}}
{{- define "telovix-agent.port" -}}
{{- $authority := regexReplaceAll "^https?://([^/]*).*$" . "${1}" -}}
{{- $port := regexFind ":[0-9]+$" $authority | trimPrefix ":" -}}
{{- default (ternary "1080" "443" (hasPrefix "http://" .)) $port -}}
{{- end -}}

{{/*
What the schema cannot say in words that help: combinations. Fails with the remedy.
*/}}
{{- define "telovix-agent.validate" -}}
{{- $sensor := .Values.sensor -}}
{{- if not $sensor.consoleUrl -}}
{{- fail "sensor.consoleUrl is missing: give the address of the Console, such as https://console.example:15483" -}}
{{- end -}}
{{- if and $sensor.enrollmentToken $sensor.existingSecret -}}
{{- fail "sensor.enrollmentToken and sensor.existingSecret are both given: remove one of the two" -}}
{{- end -}}
{{- if not (or $sensor.enrollmentToken $sensor.existingSecret) -}}
{{- fail "there is no token: put a cluster token of the Console into a Secret under the key enrollmentToken and name it in sensor.existingSecret" -}}
{{- end -}}
{{- if and $sensor.enrollmentToken (not (regexMatch "^tse_[A-Za-z0-9_-]{43}=?$" $sensor.enrollmentToken)) -}}
{{- fail "sensor.enrollmentToken is not an enrollment token: it has to be tse_ and 43 characters, as the Console showed it" -}}
{{- end -}}
{{- if and $sensor.bootstrapCaCert $sensor.bootstrapCaCertPath -}}
{{- fail "sensor.bootstrapCaCert and sensor.bootstrapCaCertPath are both given: remove one of the two" -}}
{{- end -}}
{{- if not (or $sensor.caFingerprint $sensor.bootstrapCaCert $sensor.bootstrapCaCertPath) -}}
{{- fail "nothing vouches for the Console, and the token is not sent to just anyone: give sensor.caFingerprint, sensor.bootstrapCaCert or, for a certificate of a public CA, sensor.bootstrapCaCertPath with the node's bundle" -}}
{{- end -}}
{{- if and (not .Values.serviceAccount.create) .Values.serviceAccount.annotations -}}
{{- fail "serviceAccount.annotations has no effect without serviceAccount.create: remove one of the two" -}}
{{- end -}}
{{- end -}}

{{/* What both the init container and the daemon are told. No token: that comes as a file. */}}
{{- define "telovix-agent.env" -}}
- name: TELOVIX_CONSOLE_URL
  value: {{ .Values.sensor.consoleUrl | quote }}
- name: TELOVIX_ENROLLMENT_TOKEN_FILE
  value: /run/secrets/telovix/enrollmentToken
- name: TELOVIX_NODE_NAME
  {{- if .Values.sensor.nodeNameOverride }}
  value: {{ .Values.sensor.nodeNameOverride | quote }}
  {{- else }}
  valueFrom:
    fieldRef:
      fieldPath: spec.nodeName
  {{- end }}
- name: TELOVIX_NODE_ROLE
  value: {{ .Values.sensor.nodeRole | quote }}
- name: TELOVIX_FLAVOR
  value: {{ .Values.flavor | quote }}
{{- with .Values.clusterName }}
- name: TELOVIX_CLUSTER_NAME
  value: {{ . | quote }}
{{- end }}
{{- with .Values.sensor.installId }}
- name: TELOVIX_INSTALL_ID
  value: {{ . | quote }}
{{- end }}
{{- with .Values.sensor.tags }}
- name: TELOVIX_SENSOR_TAGS
  value: {{ ternary . (join "," .) (kindIs "string" .) | quote }}
{{- end }}
{{- with .Values.sensor.caFingerprint }}
- name: TELOVIX_CA_FINGERPRINT
  value: {{ . | quote }}
{{- end }}
{{- if or .Values.sensor.bootstrapCaCert .Values.sensor.bootstrapCaCertPath }}
- name: TELOVIX_BOOTSTRAP_CA_CERT_PATH
  value: /etc/telovix/bootstrap-ca/ca.crt
{{- end }}
- name: TELOVIX_KEY_TYPE
  value: {{ .Values.sensor.keyType | quote }}
- name: TELOVIX_TIMEOUT
  value: {{ .Values.sensor.enrollTimeout | quote }}
- name: TELOVIX_K8S_DEPLOYMENT
  value: {{ include "telovix-agent.fullname" . | quote }}
- name: TELOVIX_LOG_LEVEL
  value: {{ .Values.log.level | quote }}
- name: TELOVIX_LOG_FORMAT
  value: {{ .Values.log.format | quote }}
{{- with .Values.proxy.httpsProxy }}
- name: HTTPS_PROXY
  value: {{ . | quote }}
{{- end }}
{{- with .Values.proxy.noProxy }}
- name: NO_PROXY
  value: {{ . | quote }}
{{- end }}
{{- end -}}

{{/* What both of them see. */}}
{{- define "telovix-agent.mounts" -}}
- name: state
  mountPath: /var/lib/telovix-sensor
- name: token
  mountPath: /run/secrets/telovix
  readOnly: true
{{- if .Values.sensor.bootstrapCaCert }}
- name: ca
  mountPath: /etc/telovix/bootstrap-ca
  readOnly: true
{{- else if .Values.sensor.bootstrapCaCertPath }}
- name: ca
  mountPath: /etc/telovix/bootstrap-ca/ca.crt
  readOnly: true
{{- end }}
{{- if .Values.hostFacts }}
- name: machine-id
  mountPath: /etc/machine-id
  readOnly: true
- name: os-release
  mountPath: /etc/os-release
  readOnly: true
{{- end }}
{{- end -}}

{{/* What PodSecurity `restricted` asks of a container. */}}
{{- define "telovix-agent.securityContext" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
{{- end -}}
