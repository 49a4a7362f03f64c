//! The errors that Redis answers with instead of carrying out a command: one table of their
//! meanings.

use std::fmt;

/// The meaning of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The user or the password of the URL is not right.
    WrongPassword,
    /// Redis asks for a password and the URL has none, or one that is no longer right.
    PasswordNeeded,
    /// The URL has a password and Redis has none.
    NoPasswordSet,
    /// The user lacks a permission.
    NoPermission,
    /// Protected mode: Redis has no password and takes connections from its own machine only.
    ProtectedMode,
    /// `maxclients` connections are open.
    TooManyClients,
    /// `maxmemory` is used.
    OutOfMemory,
    /// Redis cannot write to its disk and refuses every change.
    CannotPersist,
    /// The server is a replica.
    ReadOnly,
    /// Fewer replicas are connected than `min-replicas-to-write` requires.
    TooFewReplicas,
    /// The server has started and loads its data.
    Loading,
    /// The server is a replica without its primary, and answers nothing until it is back.
    PrimaryLost,
    /// A script or a function, not necessarily ours, runs for too long.
    Busy,
    /// The server is a node of a cluster.
    Cluster,
    /// The database of the URL does not exist.
    NoSuchDatabase,
    /// The server lacks a command.
    NoSuchCommand,
    /// The server is older than Redis 7.
    TooOld,
    /// An error that this table does not know.
    Unknown,
}

/// A row of the table.
struct Row {
    refusal: Refusal,
    /// Errors of Redis with this meaning begin with one of these.
    begins: &'static [&'static str],
    may_pass: bool,
    meaning: &'static str,
}

/// A row for a refusal that may pass without a change.
const fn passes(refusal: Refusal, begins: &'static [&'static str], meaning: &'static str) -> Row {
    Row { refusal, begins, may_pass: true, meaning }
}

/// A row for a refusal that stays until the URL or its user's rights are changed.
const fn stays(refusal: Refusal, begins: &'static [&'static str], meaning: &'static str) -> Row {
    Row { refusal, begins, may_pass: false, meaning }
}

const TABLE: &[Row] = {
    use Refusal::*;
    &[
        stays(
            WrongPassword,
            &["WRONGPASS", "ERR invalid password"],
            "Redis does not accept the user and password of its URL: correct them, or set them in Redis (requirepass, ACL SETUSER)",
        ),
        stays(
            PasswordNeeded,
            &["NOAUTH"],
            "Redis asks for a password: put it into the URL, redis://USER:PASSWORD@HOST:PORT",
        ),
        stays(
            NoPasswordSet,
            &["ERR AUTH", "ERR Client sent AUTH"],
            "the URL of Redis has a password, but Redis has none: set one there (requirepass), or leave it out of the URL",
        ),
        stays(
            NoPermission,
            &["NOPERM", "ERR The user executing the script"],
            "the user of the Redis URL lacks a permission: grant it with ACL SETUSER (all commands that scripts call, all keys of the namespace)",
        ),
        stays(
            ProtectedMode,
            &["DENIED"],
            "Redis is in protected mode and serves its own machine only: give it a password (requirepass), or set protected-mode to no",
        ),
        passes(
            TooManyClients,
            &["ERR max number of clients"],
            "Redis has as many connections as its setting maxclients allows: raise it, or close some",
        ),
        passes(
            OutOfMemory,
            &["OOM"],
            "Redis has used its maxmemory and takes no new studies and trials: delete studies, or raise maxmemory; what runs can finish",
        ),
        passes(
            CannotPersist,
            &["MISCONF"],
            "Redis cannot write to its disk and refuses every change: look at the free space of its folder (its setting dir) and at its log",
        ),
        passes(
            ReadOnly,
            &["READONLY"],
            "Redis is a read-only replica here: give the URL of the primary, or promote this one (REPLICAOF NO ONE)",
        ),
        passes(
            TooFewReplicas,
            &["NOREPLICAS"],
            "fewer replicas of Redis are connected than its setting min-replicas-to-write asks for, so it refuses every change",
        ),
        passes(Loading, &["LOADING"], "Redis has started and is still loading its data"),
        passes(
            PrimaryLost,
            &["MASTERDOWN"],
            "Redis is a replica that has lost its primary (replica-serve-stale-data is no): give the URL of the primary",
        ),
        passes(
            Busy,
            &["BUSY"],
            "Redis is busy with a script that takes too long (busy-reply-threshold): SCRIPT KILL ends it",
        ),
        stays(
            Cluster,
            &[
                "MOVED",
                "ASK",
                "CROSSSLOT",
                "CLUSTERDOWN",
                "TRYAGAIN",
                "ERR SELECT is not allowed in cluster mode",
            ],
            "this is a node of a Redis Cluster, which is not supported: give the URL of a single Redis or Valkey",
        ),
        stays(
            NoSuchDatabase,
            &["ERR DB index", "ERR invalid DB index"],
            "the URL of Redis names a database that it does not have: its setting databases says how many there are",
        ),
        stays(
            NoSuchCommand,
            &[
                "ERR unknown command",
                "ERR unknown subcommand",
                "ERR Unknown subcommand",
                "ERR Unknown Redis command",
            ],
            "this server lacks a command that Chandler needs: give the URL of a Redis 7 or Valkey itself, with none of its commands renamed",
        ),
        stays(
            TooOld,
            &["ERR Error compiling script"],
            "this Redis is too old: Chandler needs 7.0 or newer, or Valkey",
        ),
        passes(Unknown, &[], "Redis refuses what it is asked to do"),
    ]
};

impl Refusal {
    /// The meaning of an error; none if it is about one of our scripts or about stored data.
    fn of(said: &str) -> Option<Refusal> {
        let known = TABLE
            .iter()
            .find(|row| row.begins.iter().any(|begin| said.starts_with(begin)))
            .map(|row| row.refusal);
        let ours = ["ERR", "WRONGTYPE", "NOSCRIPT", "EXECABORT"]
            .contains(&said.split(' ').next().unwrap_or_default());
        known.or((!ours).then_some(Refusal::Unknown))
    }

    fn row(self) -> &'static Row {
        TABLE.iter().find(|row| row.refusal == self).expect("each refusal has a row")
    }

    /// Whether waiting may help: it may pass without a change of the URL or of its user's rights.
    pub fn may_pass(self) -> bool {
        self.row().may_pass
    }

    /// Whether a fresh connection may succeed, for example to a server that has taken over.
    pub(crate) fn is_of_the_connection(self) -> bool {
        matches!(self, Refusal::ReadOnly | Refusal::Loading | Refusal::PrimaryLost | Refusal::PasswordNeeded)
    }

    /// The reason and the remedy, in words.
    pub fn meaning(self) -> &'static str {
        self.row().meaning
    }

    /// Whether Redis's own message is shown. Other messages add nothing, or repeat the arguments of
    /// the command, which may hold a password.
    fn is_quoted(self) -> bool {
        matches!(self, Refusal::NoPermission | Refusal::CannotPersist | Refusal::Unknown)
    }
}

/// A refusal, with Redis's own message if it adds something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its meaning.
    pub refusal: Refusal,
    /// Whether the script had begun, and may have changed something before one of its commands was
    /// refused. Only permissions are checked that late.
    pub(crate) came_late: bool,
    said: String,
}

impl Refused {
    /// The refusal in an error of Redis; none if the fault is ours.
    pub(crate) fn of(said: &str) -> Option<Refused> {
        let refusal = Refusal::of(said)?;
        let came_late = said.contains("@user_script") || said.contains("failure in script");
        let said = if refusal.is_quoted() {
            said.chars().take(crate::limits::REDIS_ERROR_CHARACTERS_MAX).collect()
        } else {
            String::new()
        };
        Some(Refused { refusal, came_late, said })
    }

    /// The refusal in an answer to AUTH. Its message is not shown, because it may repeat the
    /// password.
    pub(crate) fn of_password(said: &str) -> Refused {
        let refusal = Refusal::of(said)
            .filter(|refusal| *refusal != Refusal::Unknown)
            .unwrap_or(Refusal::WrongPassword);
        Refused { refusal, came_late: false, said: String::new() }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.said.as_str() {
            "" => f.write_str(self.refusal.meaning()),
            said => write!(f, "{} (Redis says: {said})", self.refusal.meaning()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages of Redis 7.0 and 7.2 and of Valkey 8, from their sources and servers.
    const SAID: &[(&str, Refusal, bool)] = &[
        ("WRONGPASS invalid username-password pair or user is disabled.", Refusal::WrongPassword, false),
        ("ERR invalid password", Refusal::WrongPassword, false),
        ("NOAUTH Authentication required.", Refusal::PasswordNeeded, false),
        (
            "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
            Refusal::NoPasswordSet,
            false,
        ),
        (
            "NOPERM User chandler has no permissions to run the 'evalsha' command",
            Refusal::NoPermission,
            false,
        ),
        (
            "NOPERM this user has no permissions to access one of the keys used as arguments",
            Refusal::NoPermission,
            false,
        ),
        (
            "NOPERM ACL failure in script: User chandler has no permissions to run the 'xadd' command",
            Refusal::NoPermission,
            false,
        ),
        (
            "ERR The user executing the script can't run this command or subcommand script: a1, on @user_script:2.",
            Refusal::NoPermission,
            false,
        ),
        (
            "DENIED Redis is running in protected mode because protected mode is enabled and no password is set",
            Refusal::ProtectedMode,
            false,
        ),
        ("ERR max number of clients reached", Refusal::TooManyClients, true),
        ("ERR max number of clients + cluster connections reached", Refusal::TooManyClients, true),
        ("OOM command not allowed when used memory > 'maxmemory'.", Refusal::OutOfMemory, true),
        (
            "OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'",
            Refusal::OutOfMemory,
            true,
        ),
        ("MISCONF Errors writing to the AOF file: No space left on device", Refusal::CannotPersist, true),
        (
            "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
            Refusal::CannotPersist,
            true,
        ),
        ("READONLY You can't write against a read only replica.", Refusal::ReadOnly, true),
        ("READONLY You can not run script with write flag on readonly replica.", Refusal::ReadOnly, true),
        ("NOREPLICAS Not enough good replicas to write.", Refusal::TooFewReplicas, true),
        ("LOADING Redis is loading the dataset in memory", Refusal::Loading, true),
        (
            "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
            Refusal::PrimaryLost,
            true,
        ),
        (
            "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
            Refusal::Busy,
            true,
        ),
        ("MOVED 3999 127.0.0.1:6381", Refusal::Cluster, false),
        ("ASK 3999 127.0.0.1:6381", Refusal::Cluster, false),
        ("CROSSSLOT Keys in request don't hash to the same slot", Refusal::Cluster, false),
        ("CLUSTERDOWN The cluster is down", Refusal::Cluster, false),
        ("TRYAGAIN Multiple keys request during rehashing of slot", Refusal::Cluster, false),
        ("ERR SELECT is not allowed in cluster mode", Refusal::Cluster, false),
        ("ERR DB index is out of range", Refusal::NoSuchDatabase, false),
        ("ERR unknown command 'EVALSHA', with args beginning with: 'secret'", Refusal::NoSuchCommand, false),
        ("ERR unknown subcommand 'LOAD'. Try SCRIPT HELP.", Refusal::NoSuchCommand, false),
        (
            "ERR Error compiling script (new function): user_script:1: unexpected symbol near '#'",
            Refusal::TooOld,
            false,
        ),
        ("NEWWORD of a later version", Refusal::Unknown, true),
        ("UNKILLABLE Sorry the script already executed write commands", Refusal::Unknown, true),
    ];

    #[test]
    fn each_refusal_of_redis_has_one_meaning() {
        for (said, refusal, may_pass) in SAID {
            let refused = Refused::of(said).unwrap_or_else(|| panic!("{said}"));
            assert_eq!((refused.refusal, refused.refusal.may_pass()), (*refusal, *may_pass), "{said}");
            assert_eq!(
                refused.came_late,
                said.contains("script: a1") || said.contains("in script"),
                "{said}"
            );
            assert!(
                refused.to_string().starts_with(refusal.meaning()) && !refused.to_string().contains("secret"),
                "{refused}"
            );
        }
        for Row { refusal, .. } in TABLE {
            assert!(SAID.iter().any(|(_, said, _)| said == refusal), "{refusal:?} is in no case");
        }
    }

    #[test]
    fn an_error_of_a_script_is_not_a_refusal() {
        for said in [
            "ERR user_script:12: attempt to index a nil value",
            "WRONGTYPE Operation against a key",
            "NOSCRIPT No matching script.",
        ] {
            assert_eq!(Refused::of(said), None, "{said}");
        }
    }
}
