//! Every Redis key of Chandler. No other file, in Rust or in Lua, spells one.
//!
//! | key, after `<namespace>:{c}` | type | holds |
//! |---|---|---|
//! | (nothing) | hash | the queue: monotone clock `now`, virtual time `vt`, reaper's `tick`, outage `grace`, `slots` connected |
//! | `:studies` | zset | every study, by id |
//! | `:wanted` `:closing` | sets | studies that want a top-up, a sweep |
//! | `:deleted` | zset | deleted studies by the time of their (next) purge |
//! | `:leftovers` | zset | ended trials, `<study>:<number>`, that may have checkpoints, by the time of their (next) removal |
//! | `:ring:<class>` | zset | studies that a trainer can claim from, by virtual time |
//! | `:wake:<class>` | list | hints for blocked trainers |
//! | `:leases` `:delayed` | zsets | studies, by a lower bound of their earliest deadline, ready-at |
//! | `:totals` | hash | counts by state, kept in step with the studies; counters since the first start |
//! | `:trainers`, `:trainer:<id>` | zset, hash | by last seen; slots, info, last claim |
//! | `:idem:<key>` | string | idempotency key → study id and request hash |
//! | `:study:<id>` | hash | spec, schema, limits, state, counters; of a deleted one only its state, for a day |
//! | `:trials:<id>` | list | a packed row at the index of its number |
//! | `:queued:<id>` `:delayed:<id>` `:running:<id>` | zsets | trials of an open state, by number, ready-at, deadline |
//! | `:curves:<id>` | hash | number → packed epochs |
//! | `:side:<id>` | hash | `a<n>` earlier attempts, `e<n>` error, only where there are any |
//! | `:who:<id>` | hash | trainer and numerics class ↔ small number |
//! | `:best:<id>` | zset | the best completed trials |
//! | `:values:<id>` | string | a packed score for each number |
//! | `:events:<id>` | stream | state changes, capped |
//!
//! The braces are Redis's hash tag: all keys of a queue live on one node of a cluster, so that a
//! script may touch any of them.

use hpo::study::DeviceClass;
use hpo::trial::TrialState;

/// What a study has keys for, apart from its hash and the sets of its open states. Each becomes a
/// function of the scripts, such as `trials_key(id)`, and is removed with its study.
const OF_A_STUDY: [&str; 7] = ["trials", "curves", "side", "who", "best", "values", "events"];

/// The key functions of the scripts, which come before everything else in each. A misspelt one is an
/// error of the script, not another key.
pub(crate) fn lua() -> String {
    let open = TrialState::ALL.iter().filter(|state| !state.is_terminal());
    let sets: Vec<String> = open.clone().map(|state| format!("{state} = ':{state}:'")).collect();
    let functions: Vec<String> = OF_A_STUDY
        .iter()
        .map(|name| format!("local function {name}_key(id) return QUEUE .. ':{name}:' .. id end"))
        .collect();
    let names = OF_A_STUDY.iter().map(|name| format!("{name}_key(id)"));
    let all: Vec<String> = names.chain(open.map(|state| format!("state_key(id, '{state}')"))).collect();
    format!(
        r"local QUEUE = KEYS[1]
local STUDIES, WANTED, CLOSING, DELETED = QUEUE .. ':studies', QUEUE .. ':wanted', QUEUE .. ':closing', QUEUE .. ':deleted'
local LEASES, DELAYED, TOTALS, TRAINERS = QUEUE .. ':leases', QUEUE .. ':delayed', QUEUE .. ':totals', QUEUE .. ':trainers'
local LEFTOVERS = QUEUE .. ':leftovers'
local function study_key(id) return QUEUE .. ':study:' .. id end
local function trainer_key(id) return QUEUE .. ':trainer:' .. id end
local function ring(class) return QUEUE .. ':ring:' .. class end
local function wake_key(class) return QUEUE .. ':wake:' .. class end
local function idempotency_key(key) return QUEUE .. ':idem:' .. key end
local SETS = {{{}}}
local function state_key(id, state) return QUEUE .. SETS[state] .. id end
{}
local function keys_of_study(id) return {{{}}} end
",
        sets.join(", "),
        functions.join("\n"),
        all.join(", "),
    )
}

/// The queue's own key, the start of all its others.
pub(crate) fn queue(namespace: &str) -> String {
    format!("{namespace}:{{c}}")
}

/// The list that wakes trainers of a class.
pub(crate) fn wake(queue: &str, class: DeviceClass) -> String {
    format!("{queue}:wake:{}", class.as_str())
}
