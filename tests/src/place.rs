//! A folder for hosts and scratch files, without a Console.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::agent::Agent;

/// The folder. It goes when this is dropped.
pub struct Place {
    folder: TempDir,
}

impl Default for Place {
    fn default() -> Self {
        Self::new()
    }
}

impl Place {
    /// An empty one.
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("telovix-").tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("empty.toml"), "").expect("the folder can be written");
        Self { folder }
    }

    /// An empty one in memory, where this machine has such a folder.
    pub fn in_memory() -> Self {
        let memory = Path::new("/dev/shm");
        let made = tempfile::Builder::new().prefix("telovix-").tempdir_in(memory);
        made.map_or_else(|_| Self::new(), |folder| Self { folder })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A path in it, as text for a command line.
    pub fn name(&self, name: &str) -> String {
        self.path().join(name).to_str().expect("a temporary folder has a UTF-8 name").to_owned()
    }

    /// Writes a file into it.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, text).expect("the folder can be written");
        path
    }

    /// A host of this name: the agent with a state directory of its own and nothing else.
    pub fn host(&self, name: &str) -> Agent {
        Agent::new(&self.path().join(name), &self.path().join("empty.toml"))
    }

    /// A host that is about to enroll at this address, and trusts this CA. The token is still to be given.
    pub fn enroll(&self, name: &str, url: &str, ca_pem: &str) -> Agent {
        let _ = self.write("trusted-ca.pem", ca_pem);
        let ca = self.name("trusted-ca.pem");
        self.host(name).args(["enroll", "--console-url", url, "--bootstrap-ca", &ca, "--node-name", name])
    }
}

/// A token of the right form that no Console has made, another one for each number.
pub fn made_up_token(number: u8) -> String {
    telovix_contract::EnrollmentToken::from_bytes(&[number; 32]).expose().to_owned()
}
