//! Every Redis key of Chandler. Nothing else, in Rust or in Lua, names one.
//!
//! | key, after `<namespace>:{c}` | type | holds |
//! |---|---|---|
//! | (nothing) | hash | the queue: monotone clock `now`, virtual time `vt`, reaper's `tick`, outage `grace`, `slots` connected |
//! | `:studies` | zset | every study, by id |
//! | `:wanted` `:closing` | sets | studies that want top_up, a sweep |
//! | `:deleted` | zset | deleted studies by the time of their (next) purge |
//! | `:leftovers` | zset | ended trials, `<study>:<number>`, that may have checkpoints, by the time they are (next) handed out to be cleared |
//! | `:ring:<class>` | zset | studies that can be claimed from, by virtual time |
//! | `:wake:<class>` | list | hints for blocked trainers |
//! | `:leases` `:delayed` | zsets | studies, by a lower bound of their earliest deadline, ready-at |
//! | `:totals` | hash | counts by state, kept in step with the studies; counters since the first start |
//! | `:trainers`, `:trainer:<id>` | zset, hash | by last seen; slots, info, last claim |
//! | `:idem:<key>` | string | idempotency key → study id and request hash |
//! | `:study:<id>` | hash | spec, schema, limits, state, counters; of a deleted one only its state, for a day |
//! | `:trials:<id>` | list | a packed row at the index of its number |
//! | `:queued:<id>` `:delayed:<id>` `:running:<id>` `:paused:<id>` | zsets | numbers, by order, ready-at, deadline, rung |
//! | `:curves:<id>` | hash | number → packed points |
//! | `:side:<id>` | hash | `a<n>` earlier attempts, `e<n>` error, only where there are any |
//! | `:who:<id>` | hash | trainer and numerics class ↔ small number |
//! | `:best:<id>` | zset | the best completed trials |
//! | `:values:<id>` | string | a packed score for each number |
//! | `:events:<id>` | stream | state changes, capped |
//!
//! The braces are Redis's hash tag: all keys of a queue live on one node of a cluster, so that a
//! script may touch any of them.

use hpo::study::DeviceClass;

/// The key functions of the scripts, before everything else in each.
pub(crate) const LUA: &str = r"
local QUEUE = KEYS[1]
local STUDIES, WANTED, CLOSING, DELETED = QUEUE .. ':studies', QUEUE .. ':wanted', QUEUE .. ':closing', QUEUE .. ':deleted'
local LEASES, DELAYED, TOTALS, TRAINERS = QUEUE .. ':leases', QUEUE .. ':delayed', QUEUE .. ':totals', QUEUE .. ':trainers'
local LEFTOVERS = QUEUE .. ':leftovers'
local STUDY_KEYS = {'trials', 'queued', 'delayed', 'running', 'paused', 'curves', 'side', 'who', 'best', 'values', 'events'}
local function of(id, what) return QUEUE .. ':' .. what .. ':' .. id end
local function study_key(id) return of(id, 'study') end
local function trainer_key(id) return of(id, 'trainer') end
local function ring(class) return of(class, 'ring') end
local function wake_key(class) return of(class, 'wake') end
local function idempotency_key(key) return of(key, 'idem') end
";

/// The queue's own key, the start of all its others.
pub(crate) fn queue(namespace: &str) -> String {
    format!("{namespace}:{{c}}")
}

/// The list that wakes trainers of a class.
pub(crate) fn wake(queue: &str, class: DeviceClass) -> String {
    format!("{queue}:wake:{}", class.as_str())
}
