//! The walk-through of the README: a Console, a host that enrolls, loses its credential and recovers; all real.
//!
//! `cargo demo` leaves the Console running until Ctrl-C; `cargo demo -- --once` ends after the walk-through with exit
//! status 0, or with another one at the first step that does not do what it should. Everything it makes is in
//! `target/demo`, and the next run begins anew.
#![expect(
    clippy::disallowed_methods,
    reason = "a program of a person who tries it out, with no part of the product in it"
)]

use std::error::Error;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use serde_json::Value;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    // The alias ends in `--`, so that both `cargo demo --once` and `cargo demo -- --once` arrive here.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--").collect();
    let once = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => false,
        ["--once"] => true,
        _ => {
            eprintln!("usage: cargo demo [-- --once]");
            return ExitCode::from(2);
        }
    };
    match walk(once) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nthe demo failed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn walk(once: bool) -> Outcome<()> {
    let demo = Demo::prepare()?;
    demo.title("A Console is set up: administrator, trial licence, CA, server certificate");
    let fingerprint = demo.set_up()?;
    let mut console = Console::start(&demo)?;
    let url = format!("https://{}", console.address);
    demo.say(&format!("the Console listens on {url}, its CA is {fingerprint}"));

    demo.title("An operator makes a one-time token");
    let token = demo.token(&["--label", "demo"])?;
    demo.say(&format!("token {} expires at {}", token.id, token.expires_at));

    demo.title("This machine enrolls with it");
    let enroll = ["enroll", "--console-url", &url, "--ca-fingerprint", &fingerprint, "--token-stdin"];
    demo.agent(&enroll, &token.secret)?;
    let before = demo.status()?;

    demo.title("The credential is deleted");
    for file in demo.delete_credential()? {
        demo.say(&format!("deleted {}", file.strip_prefix(&demo.root)?.display()));
    }
    let lost = demo.status()?;
    if lost["state"] != "lost" {
        return Err(format!("the loss went unnoticed: {lost}").into());
    }

    demo.title("A re-enrollment token brings the same sensor back");
    let token = demo.token(&["--sensor-id", &text(&before, "sensor_id")?])?;
    demo.agent(&enroll, &token.secret)?;
    let after = demo.status()?;
    if after["sensor_id"] != before["sensor_id"] || after["serial"] == before["serial"] {
        return Err(format!("not the same sensor with a new certificate: {after}").into());
    }

    demo.title("Done");
    let state = demo.state_dir();
    demo.say(&format!("the identity is in {}; look at it with", state.display()));
    demo.say(&format!(
        "  openssl verify -purpose sslclient -CAfile {0}/console-ca.cert.pem {0}/client.cert.pem",
        state.display()
    ));
    if once {
        return console.stop();
    }
    let next = demo.token(&[])?;
    demo.say(&format!("the Console's page: {url}/"));
    demo.say("to enroll another host within 15 minutes, run there:");
    println!("\n{}\n", next.install_command);
    demo.say("the Console runs until Ctrl-C");
    console.child.wait()?;
    Ok(())
}

/// Where everything is.
struct Demo {
    root: PathBuf,
    bin: PathBuf,
}

struct Token {
    id: String,
    secret: String,
    expires_at: String,
    install_command: String,
}

impl Demo {
    fn prepare() -> Outcome<Self> {
        let bin = std::env::current_exe()?.parent().ok_or("no folder of binaries")?.to_owned();
        let root = bin.parent().ok_or("no target folder")?.join("demo");
        if root.exists() {
            std::fs::remove_dir_all(&root)?;
        }
        std::fs::create_dir_all(&root)?;
        build(&bin)?;
        Ok(Self { root, bin })
    }

    fn title(&self, text: &str) {
        println!("\n== {text}");
    }

    fn say(&self, text: &str) {
        println!("   {text}");
    }

    fn state_dir(&self) -> PathBuf {
        self.root.join("agent")
    }

    fn data_dir(&self) -> PathBuf {
        self.root.join("console")
    }

    fn stub(&self) -> Command {
        clean(&self.bin.join("telovix-console-stub"))
    }

    fn set_up(&self) -> Outcome<String> {
        let password = self.root.join("admin-password");
        std::fs::write(&password, std::fs::read("/proc/sys/kernel/random/uuid")?)?;
        let mut command = self.stub();
        command.args(["setup", "--admin-email", "admin@example.com", "--trial-nodes", "25"]);
        command.args(["--server-name", "localhost", "--server-name", "127.0.0.1", "--output", "json"]);
        command.arg("--admin-password-file").arg(&password).arg("--data-dir").arg(self.data_dir());
        let made = json_of(command)?;
        text(&made, "ca_fingerprint")
    }

    fn token(&self, options: &[&str]) -> Outcome<Token> {
        let mut command = self.stub();
        command.args(["token", "create", "--type", "once", "--output", "json"]).args(options);
        command.arg("--data-dir").arg(self.data_dir());
        let made = json_of(command)?;
        Ok(Token {
            id: text(&made, "id")?,
            secret: text(&made, "token")?,
            expires_at: text(&made, "expires_at")?,
            install_command: text(&made, "install_command")?,
        })
    }

    /// Runs the agent as a person would, with the token on its standard input.
    fn agent(&self, arguments: &[&str], token: &str) -> Outcome<()> {
        println!("   $ telovix-agent {}", arguments.join(" "));
        let mut child = self.agent_command().args(arguments).stdin(Stdio::piped()).spawn()?;
        child.stdin.take().ok_or("no standard input")?.write_all(token.as_bytes())?;
        let status = child.wait()?;
        if status.success() { Ok(()) } else { Err(format!("telovix-agent ended with {status}").into()) }
    }

    fn agent_command(&self) -> Command {
        let mut command = clean(&self.bin.join("telovix-agent"));
        let config = self.root.join("agent.toml");
        if !config.exists() {
            // An empty file, so that what is configured on this machine stays out of the demo.
            let _ = std::fs::write(&config, "");
        }
        command.arg("--config").arg(config).arg("--state-dir").arg(self.state_dir());
        command.args(["--log-level", "warn"]);
        command
    }

    fn status(&self) -> Outcome<Value> {
        println!("   $ telovix-agent status");
        let shown = self.agent_command().arg("status").output()?;
        for line in String::from_utf8_lossy(&shown.stdout).lines() {
            self.say(line);
        }
        let output = self.agent_command().args(["status", "--output", "json"]).output()?;
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Deletes the key and the certificate in every generation: nothing on this host can bring them back.
    fn delete_credential(&self) -> Outcome<Vec<PathBuf>> {
        let mut deleted = Vec::new();
        for generation in std::fs::read_dir(self.state_dir().join("generations"))? {
            for name in ["client.key.pem", "client.cert.pem"] {
                let file = generation.as_ref().map_err(ToString::to_string)?.path().join(name);
                std::fs::remove_file(&file)?;
                deleted.push(file);
            }
        }
        Ok(deleted)
    }
}

/// The Console's process; ends with this value.
struct Console {
    child: Child,
    address: String,
}

impl Console {
    fn start(demo: &Demo) -> Outcome<Self> {
        let log = std::fs::File::create(demo.root.join("console.log"))?;
        let mut command = demo.stub();
        command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(demo.data_dir());
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn()?;
        let mut address = String::new();
        BufReader::new(child.stdout.take().ok_or("no standard output")?).read_line(&mut address)?;
        let address = address.trim().to_owned();
        if address.is_empty() {
            return Err(format!(
                "the Console did not start; see {}",
                demo.root.join("console.log").display()
            )
            .into());
        }
        Ok(Self { child, address })
    }

    fn stop(&mut self) -> Outcome<()> {
        let pid = nix::unistd::Pid::from_raw(self.child.id().try_into()?);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM)?;
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { Err(format!("the Console ended with {status}").into()) }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Builds the two binaries where they are missing or old; `cargo demo` alone builds only this program.
fn build(bin: &Path) -> Outcome<()> {
    let Some(cargo) = std::env::var_os("CARGO") else { return Ok(()) };
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--bins"]);
    // With this package among them, they have the features that its manifest asks for.
    command.args(
        ["telovix-agent", "telovix-console-stub", "telovix-demo"].map(|name| format!("--package={name}")),
    );
    if bin.ends_with("release") {
        command.arg("--release");
    }
    let status = command.current_dir(env!("CARGO_MANIFEST_DIR")).status()?;
    if status.success() { Ok(()) } else { Err("the binaries could not be built".into()) }
}

/// A command that inherits nothing of this shell's settings.
fn clean(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear();
    command
}

fn json_of(mut command: Command) -> Outcome<Value> {
    let output = command.args(["--log-level", "warn"]).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("{} ended with {}", command.get_program().display(), output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn text(value: &Value, key: &str) -> Outcome<String> {
    Ok(value[key].as_str().ok_or_else(|| format!("no {key} in {value}"))?.to_owned())
}
