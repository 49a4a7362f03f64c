//! The scripts: each transition's Lua, put together and hashed once.

use std::sync::LazyLock;

use crate::limits;
use hpo::trial::{ErrorKind, TriedAgain};

use crate::keys;
use crate::link::Effect;

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

// allow-oom: work that was begun can finish when memory is full; only what brings new work is
// refused, and `ready`, which tells.
scripts! {
    Reserve = "reserve", "", ["reserve"];
    Reserved = "reserved", "flags=no-writes", ["reserved"];
    Create = "create", "", ["study_row", "create"];
    Enqueue = "enqueue", "", ["enqueue"];
    Exhaust = "exhaust", "flags=allow-oom", ["exhaust"];
    Claim = "claim", "flags=allow-oom", ["claim"];
    Report = "report", "flags=allow-oom", ["report"];
    Finish = "finish", "flags=allow-oom", ["finish"];
    FinishAndClaim = "finish_and_claim", "flags=allow-oom", ["finish", "claim", "finish_and_claim"];
    Promote = "promote", "flags=allow-oom", ["promote"];
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

/// Shebang, keys, limits, kinds of failures, prelude, the script's own files, and the call of the
/// function that bears its name.
fn assemble(name: &'static str, flags: &str, files: &[&str]) -> Script {
    let limit = format!(
        "local LIMIT = {{events = {}, ahead = {}, wake = {}, trials = {}, attempts = {}, due = {}, sweep = {}, closing = {}, best = {}, scan = {}, \
         refused_scan = {}, first_charge_ms = {}, backoff_ms = {}, trainer_ttl_ms = {}, idempotency_ms = {}, leftover_ms = {}}}\n",
        limits::EVENTS_KEPT,
        limits::QUEUE_AHEAD,
        limits::WAKE_TOKENS_MAX,
        limits::TRIALS_MAX,
        limits::ATTEMPTS_KEPT,
        limits::DUE_BATCH,
        limits::SWEEP_BATCH,
        limits::CLOSING_BATCH,
        limits::BEST_KEPT,
        limits::STUDIES_SCANNED_MAX,
        limits::REFUSED_SCANNED_MAX,
        limits::FIRST_CHARGE_MS,
        limits::BACKOFF_MS_MAX,
        limits::TRAINER_TTL_MS,
        limits::IDEMPOTENCY_MS,
        limits::LEFTOVER_MS,
    );
    let kinds = ErrorKind::ALL.iter().map(|kind| {
        let is_tried_again = kind.tried_again() == TriedAgain::WithinMaxFailures;
        format!("{kind} = {{is_tried_again = {is_tried_again}, in_a_row = '{}'}}", kind.in_a_row())
    });
    let kinds = kinds.collect::<Vec<_>>().join(", ");
    let effect = if flags.contains("no-writes") || name == "ready" { Effect::None } else { Effect::Change };
    // The clock moves with every script that writes.
    let clock = if flags.contains("no-writes") { "" } else { "redis.call('HSET', QUEUE, 'now', NOW)\n" };
    let (keys, prelude, files) = (keys::LUA, include_str!("lua/prelude.lua"), files.join("\n"));
    let code = format!(
        "#!lua {flags}\n{keys}{limit}local KIND = {{{kinds}}}\n{prelude}\n{files}\n{clock}return {name}()\n"
    );
    Script { name, hash: redis::Script::new(&code).get_hash().to_owned(), code, effect }
}
