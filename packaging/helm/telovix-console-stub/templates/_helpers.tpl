{{/* Names. */}}
{{- define "telovix-console-stub.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "telovix-console-stub.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "telovix-console-stub.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "telovix-console-stub.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "telovix-console-stub.selectorLabels" -}}
app.kubernetes.io/name: {{ include "telovix-console-stub.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "telovix-console-stub.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "telovix-console-stub.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/component: console
app.kubernetes.io/part-of: telovix
{{- end -}}

{{- define "telovix-console-stub.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* What PodSecurity `restricted` asks of a container. */}}
{{- define "telovix-console-stub.securityContext" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
{{- end -}}

{{/* What both containers see. */}}
{{- define "telovix-console-stub.mounts" -}}
- name: data
  mountPath: /var/lib/telovix-console-stub
# SQLite's own scratch space; the root is read-only.
- name: tmp
  mountPath: /tmp
{{- if .Values.database.existingSecret }}
- name: database
  mountPath: /run/secrets/telovix-database
  readOnly: true
{{- end }}
{{- end -}}

{{/* Where the database is: a file again, so that its password stands in no environment. */}}
{{- define "telovix-console-stub.env" -}}
{{- if .Values.database.existingSecret -}}
env:
  - name: TELOVIX_DATABASE_URL_FILE
    value: /run/secrets/telovix-database/url
{{- end -}}
{{- end -}}

{{- define "telovix-console-stub.validate" -}}
{{- if not .Values.admin.email -}}
{{- fail "admin.email is missing: name the first administrator" -}}
{{- end -}}
{{- if not .Values.admin.existingSecret -}}
{{- fail "admin.existingSecret is missing: put the first administrator's password, at least 12 characters, into a Secret under the key password and name it there" -}}
{{- end -}}
{{- end -}}
