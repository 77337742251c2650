//! `binary stage`: puts an agent's binary where hosts download it.

use sha2::{Digest as _, Sha256};
use telovix_contract::token::hex;

use super::args::BinaryCommand;
use super::error::CliError;
use super::output::Printer;
use crate::config::DataDir;
use crate::files;

pub(super) fn run(data: &DataDir, command: BinaryCommand, print: &Printer) -> Result<(), CliError> {
    let BinaryCommand::Stage { file, arch, flavor } = command;
    let content = files::read(&file)?;
    let found = architecture(&content).ok_or_else(|| {
        CliError::Usage(format!("{} is not a Linux binary for amd64 or arm64", file.display()))
    })?;
    if let Some(named) = arch.filter(|named| named != found) {
        return Err(CliError::Usage(format!("{} is for {found}, not for {named}", file.display())));
    }
    let path = data.binary(flavor, found);
    files::private_dir(data.path())?;
    if let Some(directory) = path.parent() {
        files::private_dir(directory)?;
    }
    files::replace(&path, 0o644, &content)?;
    let view = serde_json::json!({
        "file": path, "architecture": found, "flavor": flavor, "sha256": hex(&Sha256::digest(&content)),
    });
    Ok(print.one(&view)?)
}

/// What an ELF header says of the machine: 64 bits, little-endian, `e_machine` at offset 18 (elf(5)).
fn architecture(content: &[u8]) -> Option<&'static str> {
    let header = content.get(..20)?;
    if header.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    match (header.get(18)?, header.get(19)?) {
        (62, 0) => Some("amd64"),
        (183, 0) => Some("arm64"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_machine_of_an_elf_header() {
        let header = |machine: u8| {
            let mut bytes = [0; 64];
            bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
            bytes[18] = machine;
            bytes
        };
        assert_eq!(architecture(&header(62)), Some("amd64"));
        assert_eq!(architecture(&header(183)), Some("arm64"));
        assert_eq!(architecture(&header(3)), None);
        assert_eq!(architecture(b"#!/bin/sh"), None);
        assert_eq!(architecture(b"\x7fELF"), None);
    }
}
