//! Starts the machine's calls, after what has to be on the disk first.

use telovix_contract::SensorId;
use telovix_contract::session::{Heartbeat, RenewRequest};

use super::calls::{self, Credentials};
use super::drive::Driver;
use super::enroll::{self, Application, FirstContact};
use super::error::DriverError;
use crate::clock;
use crate::csr::Csr;
use crate::key::KeyPair;
use crate::machine::{Call, EnrollReason};
use crate::store::{Generation, StoreError};
use crate::tls::ClientIdentity;

impl Driver {
    /// Starts a call.
    pub(super) fn start_call(&mut self, call: Call) -> Result<(), DriverError> {
        match call {
            Call::Enroll { replaces, reason } => {
                tracing::debug!(%reason, console = %self.console_url, "enrolling");
                // The token is spent on that key.
                let of = self.current.as_ref().filter(|_| reason == EnrollReason::NotVouched);
                let key = of.map(|of| KeyPair::from_pem(&of.verified().key().to_pem())).transpose()?;
                self.reason = Some(reason);
                return self.start_enrollment(replaces, key);
            }
            Call::Renew => return self.start_renewal(),
            Call::Prove { generation } => {
                let other = self.others.iter().find(|found| found.number() == generation);
                let of = other.ok_or(DriverError::Gone("the generation to be proven"))?;
                let (credentials, sensor) = (credentials(of)?, of.verified().sensor_id());
                self.start_heartbeat(credentials, sensor);
            }
            Call::Heartbeat => {
                let of = self.current.as_ref().ok_or(DriverError::Gone("the current generation"))?;
                let (credentials, sensor) = (credentials(of)?, of.verified().sensor_id());
                self.start_heartbeat(credentials, sensor);
            }
            Call::ProbeClock => self.in_flight = Some(calls::clock(self.console.clone())),
            Call::Decommission => {
                let of = self.current.as_ref().ok_or(DriverError::Gone("the current generation"))?;
                let target = self.console_url.authority();
                self.in_flight = Some(calls::decommission(self.console.clone(), credentials(of)?, target));
            }
        }
        Ok(())
    }

    fn start_heartbeat(&mut self, credentials: Credentials, sensor: SensorId) {
        let sent = self.instance.as_mut().map(|(instance, sent)| {
            *sent += 1;
            (*instance, *sent)
        });
        let (instance, sequence) = sent.unzip();
        let said = Heartbeat { sensor_version: env!("CARGO_PKG_VERSION").to_owned(), instance, sequence };
        self.in_flight = Some(calls::heartbeat(self.console.clone(), credentials, sensor, said));
    }

    fn start_enrollment(
        &mut self,
        replaces: Option<SensorId>,
        key: Option<KeyPair>,
    ) -> Result<(), DriverError> {
        let token = self.token.as_ref().map(|found| found.token.clone());
        let token = token.ok_or(DriverError::Gone("the token"))?;
        let new_sensor = enroll::new_sensor(self.new_sensor, &token, &self.store);
        let application = Application { host: &self.host, token: &token, replaces, new_sensor };
        let pending = enroll::begin_or_resume(&application, &mut self.store, key)?;
        let contact =
            FirstContact { configured: self.host.config.trust.resolve()?, stored: self.store.stored_ca() };
        let body = enroll::body(&pending, &token)?;
        let (console, url) = (self.console.clone(), self.console_url.clone());
        self.in_flight = Some(calls::enroll(console, contact, self.held(), body, pending, url));
        Ok(())
    }

    /// The certificate that this host holds already, expired too: it proves to the Console who the host is (docs/contract.md section
    /// 4). Not one that was made on another machine.
    fn held(&self) -> Option<ClientIdentity> {
        let own = self.current.iter().chain(&self.others).find(|own| !self.host.is_clone(own.state()));
        own.and_then(|own| own.identity().ok()).or_else(|| {
            let foreign = self.store.foreign(clock::now(&self.host.clock)).ok()??;
            let is_ours = !foreign.state.as_ref().is_some_and(|state| self.host.is_clone(state));
            foreign.pair.filter(|_| is_ours)
        })
    }

    /// A renewal goes on with its key after a crash, so that a lost answer costs nothing but a repeat. Also where another type
    /// of key is configured by now: the Console may have made the successor for this one, and no other key gets it.
    fn start_renewal(&mut self) -> Result<(), DriverError> {
        let current = self.current.as_ref().ok_or(DriverError::Gone("the current generation"))?;
        let pending = match self.store.pending_renewal() {
            Ok(Some(pending)) if pending.renews == Some(current.number()) => pending,
            Ok(Some(_) | None) | Err(StoreError::Corrupt { .. }) => {
                let key = KeyPair::generate(self.host.config.key_type.value)?;
                let csr = Csr::build(&key, &current.state().node_name)?;
                let request = RenewRequest { csr_pem: csr.pem().to_owned() };
                self.store.begin_renewal(key, &request, current)?
            }
            Err(error) => return Err(error.into()),
        };
        let csr_pem = pending.renewal()?.csr_pem;
        self.in_flight = Some(calls::renew(self.console.clone(), credentials(current)?, csr_pem, pending));
        Ok(())
    }
}

fn credentials(generation: &Generation) -> Result<Credentials, DriverError> {
    Ok(Credentials { trust: generation.trust(), identity: generation.identity()? })
}
