//! Private keys in PEM, as they come back from a disk.

use telovix_agent::csr::Csr;
use telovix_agent::key::KeyPair;

use crate::kit::pem;

/// Reads the input as a key: as PEM, and as the DER inside.
pub fn run(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        read(text);
    }
    read(&pem("PRIVATE KEY", data));
}

fn read(text: &str) {
    let key = match KeyPair::from_pem(text) {
        Ok(key) => key,
        Err(error) => {
            let said = error.to_string();
            let lines = text.lines().filter(|line| line.len() >= 16 && !line.starts_with("-----"));
            lines.for_each(|line| assert!(!said.contains(line), "the error quotes the key"));
            return;
        }
    };
    let again = KeyPair::from_pem(&key.to_pem()).expect("what we write we read");
    assert_eq!(again.public_der(), key.public_der());
    key.to_private_der().expect("a key for a handshake");
    assert_eq!(format!("{key:?}"), "KeyPair(<private>)");
    Csr::build(&key, &"edge-1".parse().expect("a name")).expect("a key that can sign");
}
