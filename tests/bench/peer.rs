//! What a user would pick instead, measured by a Python script in the folder `peers`.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

/// A Python with peers.
pub(crate) struct Peer(PathBuf);

impl Peer {
    /// The Python that `PEERS` names, if it has these modules.
    pub(crate) fn with(modules: &str) -> Option<Peer> {
        let python = std::env::var_os("PEERS").filter(|python| !python.is_empty())?;
        let import =
            Command::new(&python).args(["-c", &format!("import {modules}")]).stderr(Stdio::null()).status();
        if import.is_ok_and(|status| status.success()) {
            return Some(Peer(python.into()));
        }
        println!("# {} has no {modules}: not compared", python.display());
        None
    }

    /// The number that a script prints.
    pub(crate) fn run(&self, script: &str, args: &[&str]) -> anyhow::Result<f64> {
        self.say(script, args)?.trim().parse().with_context(|| format!("{script} prints no number"))
    }

    /// What a script prints last.
    pub(crate) fn say(&self, script: &str, args: &[&str]) -> anyhow::Result<String> {
        let path = format!("{}/bench/peers/{script}", env!("CARGO_MANIFEST_DIR"));
        let output = Command::new(&self.0).arg(&path).args(args).stderr(Stdio::inherit()).output()?;
        ensure!(output.status.success(), "{path} failed");
        Ok(String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default().to_owned())
    }
}
