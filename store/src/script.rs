//! The scripts: the Lua of each transition, put together and hashed once.

use std::sync::LazyLock;

use hpo::trial::{ErrorKind, TrialState, TriedAgain};

use crate::link::Effect;
use crate::{keys, limits};

/// One script, ready to be called by its hash.
pub(crate) struct Script {
    /// Its file's name, and its label in the metrics.
    pub(crate) name: &'static str,
    /// What the server calls it.
    pub(crate) hash: String,
    /// Its text.
    pub(crate) code: String,
    /// Its effect on stored data.
    pub(crate) effect: Effect,
}

/// Declares the scripts in one table: variant, name, flags, files.
macro_rules! scripts {
    ($($variant:ident = $name:literal, $flags:literal, [$($file:literal),+];)+) => {
        /// Which script.
        #[derive(Debug, Clone, Copy)]
        pub(crate) enum Name { $($variant),+ }

        /// All of them, in the order of [`Name`].
        pub(crate) static SCRIPTS: LazyLock<Vec<Script>> =
            LazyLock::new(|| vec![$(assemble($name, $flags, &[$(include_str!(concat!("lua/", $file, ".lua"))),+])),+]);
    };
}

// allow-oom: when memory is full, work that was begun can finish; only new work is refused, and
// `ready`, which tells so.
scripts! {
    Reserve = "reserve", "", ["reserve"];
    Reserved = "reserved", "flags=no-writes", ["reserved"];
    Create = "create", "", ["study_row", "create"];
    Enqueue = "enqueue", "", ["enqueue"];
    Exhaust = "exhaust", "flags=allow-oom", ["exhaust"];
    Claim = "claim", "flags=allow-oom", ["claim"];
    Report = "report", "flags=allow-oom", ["report"];
    Finish = "finish", "flags=allow-oom", ["finish"];
    Reap = "reap", "flags=allow-oom", ["reap"];
    Cancel = "cancel", "flags=allow-oom", ["trial_row", "cancel"];
    CancelStudy = "cancel_study", "flags=allow-oom", ["study_row", "cancel_study"];
    Change = "change", "flags=allow-oom", ["study_row", "change"];
    Delete = "delete", "flags=allow-oom", ["delete"];
    Purge = "purge", "flags=allow-oom", ["purge"];
    Abandon = "abandon", "flags=allow-oom", ["abandon"];
    Cleared = "cleared", "flags=allow-oom", ["cleared"];
    Trainer = "trainer", "flags=allow-oom", ["trainer"];
    Ready = "ready", "", ["ready"];
    Studies = "studies", "flags=no-writes", ["study_row", "studies"];
    Trials = "trials", "flags=no-writes", ["trial_row", "trials"];
    Ranking = "ranking", "flags=no-writes", ["ranking"];
    Curve = "curve", "flags=no-writes", ["curve"];
    Trainers = "trainers", "flags=no-writes", ["trainers"];
    Wanted = "wanted", "flags=no-writes", ["wanted"];
    Collect = "collect", "flags=no-writes", ["collect"];
    Waiting = "waiting", "flags=no-writes", ["waiting"];
    Audit = "audit", "flags=no-writes", ["audit"];
}

/// The script of that name.
pub(crate) fn script(name: Name) -> &'static Script {
    &SCRIPTS[name as usize]
}

/// The limits that scripts need, by the names of their constants.
macro_rules! limits_for_scripts {
    ($($limit:ident),+ $(,)?) => {
        const LIMITS: &[(&str, u64)] = &[$((stringify!($limit), limits::$limit)),+];
    };
}

limits_for_scripts![
    ATTEMPTS_KEPT,
    BACKOFF_MS_MAX,
    BEST_KEPT,
    CLOSING_BATCH,
    DUE_BATCH,
    EVENTS_KEPT,
    FIRST_CHARGE_MS,
    IDEMPOTENCY_MS,
    LEFTOVER_MS,
    QUEUE_AHEAD,
    REFUSED_SCANNED_MAX,
    STUDIES_SCANNED_MAX,
    SWEEP_BATCH,
    TRAINER_TTL_MS,
    WAKE_TOKENS_MAX,
];

/// The limits, trial states and kinds of failure as Lua: each is declared once, in Rust.
fn declarations() -> String {
    let states = |is_listed: fn(TrialState) -> bool| {
        let listed = TrialState::ALL.iter().filter(|state| is_listed(**state));
        listed.map(|state| format!("'{state}'")).collect::<Vec<_>>().join(", ")
    };
    let terminal = TrialState::ALL.iter().filter(|state| state.is_terminal());
    let terminal: Vec<String> = terminal.map(|state| format!("{state} = true")).collect();
    let limits: Vec<String> = LIMITS.iter().map(|(name, limit)| format!("{name} = {limit}")).collect();
    let kinds = ErrorKind::ALL.iter().map(|kind| {
        let is_tried_again = kind.tried_again() == TriedAgain::WithinMaxFailures;
        format!("{kind} = {{is_tried_again = {is_tried_again}, in_a_row = '{}'}}", kind.in_a_row())
    });
    format!(
        "local STATES, OPEN, WAITING = {{{}}}, {{{}}}, {{{}}}\nlocal TERMINAL = {{{}}}\nlocal LIMIT = {{{}}}\nlocal KIND = {{{}}}\n",
        states(|_| true),
        states(|state| !state.is_terminal()),
        states(TrialState::is_waiting),
        terminal.join(", "),
        limits.join(", "),
        kinds.collect::<Vec<_>>().join(", "),
    )
}

/// Shebang, keys, declarations, prelude, the script's own files, and the call of the function that
/// bears its name.
fn assemble(name: &'static str, flags: &str, files: &[&str]) -> Script {
    let effect = if flags.contains("no-writes") || name == "ready" { Effect::None } else { Effect::Change };
    // The clock moves with every script that writes.
    let clock = if flags.contains("no-writes") { "" } else { "redis.call('HSET', QUEUE, 'now', NOW)\n" };
    let (keys, declarations, prelude) = (keys::lua(), declarations(), include_str!("lua/prelude.lua"));
    let files = files.join("\n");
    let code = format!("#!lua {flags}\n{keys}{declarations}{prelude}\n{files}\n{clock}return {name}()\n");
    Script { name, hash: redis::Script::new(&code).get_hash().to_owned(), code, effect }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The words of all scripts that follow `before`.
    fn words_after(before: &str) -> BTreeSet<&'static str> {
        let words = SCRIPTS.iter().flat_map(|script| script.code.split(before).skip(1));
        words.map(|rest| rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap()).collect()
    }

    #[test]
    fn scripts_ask_for_the_limits_that_they_are_given_and_no_others() {
        assert_eq!(words_after("LIMIT."), LIMITS.iter().map(|(name, _)| *name).collect());
    }

    #[test]
    fn scripts_make_keys_by_functions_that_exist() {
        for script in SCRIPTS.iter() {
            let own = script.code.split("-- Shared by every script").nth(1).unwrap();
            assert!(!own.contains("QUEUE .."), "{} spells a key", script.name);
            for call in own
                .split("_key(")
                .map(|before| before.rsplit(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap())
            {
                let function = format!("local function {call}_key(");
                assert!(call.is_empty() || script.code.contains(&function), "{}: {call}_key", script.name);
            }
        }
    }
}
