//! The file that holds a token: the token and what shows no character around it, and nothing else.

use telovix_agent::cli;
use telovix_agent::config::{Environment, Sources, TokenSource, load_from};
use telovix_contract::EnrollmentToken;

use crate::kit::{holds_a_token, scratch};

/// Most bytes of a source.
const LONGEST: usize = 4096;
/// What editors and web pages leave around a pasted text, beside white space: a byte-order mark, a space without width.
const AROUND: [char; 2] = ['\u{feff}', '\u{200b}'];

/// Reads the input as the file of `--token-file`, as standard input and as the variable.
pub fn run(data: &[u8]) {
    let dir = scratch("token-file");
    std::fs::create_dir_all(&dir).expect("a directory can be made");
    let path = dir.join("token");
    std::fs::write(&path, data).expect("a file can be written");
    let text = std::str::from_utf8(data).ok().filter(|_| data.len() <= LONGEST);
    let around = |c: char| c.is_whitespace() || AROUND.contains(&c);
    let wanted = text.and_then(|text| text.trim_matches(around).parse::<EnrollmentToken>().ok());
    let file = path.to_string_lossy();
    for flags in [&["--token-file", &*file][..], &["--token-stdin"]] {
        let arguments = ["telovix-agent", "enroll"].iter().chain(flags).map(Into::into);
        let args = cli::parse(arguments).expect("a command line");
        let missing = dir.join("no-such.toml");
        let env = Environment::default();
        let sources = Sources { args: &args, env: &env, host_name: "host".into(), default_file: &missing };
        let config = load_from(&sources).expect("a configuration");
        let mut input = data;
        let found = config.token.resolve(&mut input);
        match (&found, &wanted) {
            (Ok(Some(found)), Some(wanted)) => {
                assert_eq!(found.token.expose(), wanted.expose());
                assert_eq!(found.is_still_there(), matches!(found.source, TokenSource::File { .. }));
                assert!(!format!("{found:?}").contains(&wanted.expose()[4..]));
            }
            (Err(error), None) => {
                let said = error.to_string();
                assert!(!holds_a_token(&said) && !said.contains('\n'), "{said}");
            }
            (found, wanted) => panic!("{found:?} instead of {wanted:?}"),
        }
    }
}
