//! `floodway status`, `reload` and `drain`: what a running router is asked over its local control socket.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::app::args::{AskArgs, DrainArgs};
use crate::app::config::{ConfigError, resolve_data_dir};
use crate::app::data_dir::socket_of;
use crate::runtime::control::socket::{self, Request};

/// How often `drain --wait` looks whether the router has ended.
const LOOK_PAUSE: Duration = Duration::from_millis(500);

/// The router does not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The data directory is unknown.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No router has this data directory.
    #[error(
        "no router runs with the data directory {}: start one with `floodway run`, or name that of a running one with \
         --data-dir", data_dir.display()
    )]
    NotRunning {
        /// Where it was looked for.
        data_dir: PathBuf,
    },
    /// The router that runs is somebody else's.
    #[error("the router at {} belongs to another user: ask as that user, or as root", path.display())]
    Forbidden {
        /// The socket.
        path: PathBuf,
    },
    /// It does not answer.
    #[error("the router at {} does not answer: {error}", path.display())]
    Silent {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It refuses.
    #[error("{0}")]
    Refused(String),
    /// The answer cannot be written.
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
}

/// Shows how the router is.
///
/// # Errors
/// When none runs, or it does not answer.
pub fn status(args: &AskArgs) -> Result<(), ControlError> {
    let data_dir = resolve_data_dir(args.common.data_dir.as_deref())?;
    let answer = ask(&data_dir, Request::Status)?;
    say(&answer, args.json, status_text)
}

/// Has the router read its configuration anew, and shows what came of it.
///
/// # Errors
/// When none runs, or the configuration has a mistake; then the router goes on as it was.
pub fn reload(args: &AskArgs) -> Result<(), ControlError> {
    let data_dir = resolve_data_dir(args.common.data_dir.as_deref())?;
    let answer = ask(&data_dir, Request::Reload)?;
    say(&answer, args.json, reload_text)
}

/// Has the router take no new tunnels and stop when those that there are have ended, within 11 minutes.
///
/// # Errors
/// When none runs, or it is stopping already.
pub fn drain(args: &DrainArgs) -> Result<(), ControlError> {
    let data_dir = resolve_data_dir(args.ask.common.data_dir.as_deref())?;
    let answer = ask(&data_dir, Request::Drain)?;
    say(&answer, args.ask.json, drain_text)?;
    if args.wait { wait_for_end(&data_dir) } else { Ok(()) }
}

fn wait_for_end(data_dir: &Path) -> Result<(), ControlError> {
    loop {
        std::thread::sleep(LOOK_PAUSE);
        match ask(data_dir, Request::Status) {
            Ok(_) => {}
            // It has gone, perhaps in the middle of its answer.
            Err(ControlError::NotRunning { .. } | ControlError::Silent { .. }) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

fn ask(data_dir: &Path, request: Request) -> Result<Value, ControlError> {
    let path = socket_of(data_dir);
    let answer = socket::ask(&path, request).map_err(|error| {
        let kind = error.kind();
        if kind == io::ErrorKind::NotFound || kind == io::ErrorKind::ConnectionRefused {
            ControlError::NotRunning { data_dir: data_dir.to_owned() }
        } else if kind == io::ErrorKind::PermissionDenied {
            ControlError::Forbidden { path: path.clone() }
        } else {
            ControlError::Silent { path: path.clone(), error }
        }
    })?;
    match answer.get("error").and_then(Value::as_str) {
        Some(reason) => Err(ControlError::Refused(reason.to_owned())),
        None => Ok(answer),
    }
}

fn say(answer: &Value, json: bool, text: fn(&Value) -> String) -> Result<(), ControlError> {
    let text = if json { answer.to_string() } else { text(answer) };
    writeln!(io::stdout(), "{text}").map_err(ControlError::Output)
}

/// A value of the answer as people read it; `a/b` is `b` in `a`.
fn field(answer: &Value, path: &str) -> String {
    let found = path.split('/').try_fold(answer, |value, key| value.get(key));
    match found {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(values)) => {
            let all: Vec<_> = values.iter().filter_map(Value::as_str).collect();
            if all.is_empty() { "nothing".to_owned() } else { all.join(", ") }
        }
        Some(Value::Bool(is)) => if *is { "yes" } else { "no" }.to_owned(),
        Some(other) => other.to_string(),
        None => "unknown".to_owned(),
    }
}

fn status_text(answer: &Value) -> String {
    let get = |path| field(answer, path);
    let seconds = answer.get("uptime_seconds").and_then(Value::as_u64).unwrap_or(0);
    [
        format!("floodway {}, {} for {}", get("version"), get("phase"), duration(seconds)),
        format!("router     {} at {}, network {}", get("hash"), get("address"), get("network")),
        format!("floodfill  {}, bandwidth class {}", get("floodfill"), get("bandwidth_class")),
        format!("shards     {} of {} answer", get("shards_answering"), get("shards")),
        format!("clock      {}", clock_text(answer)),
        format!(
            "sessions   {} inbound, {} outbound",
            get("sessions/inbound"),
            get("sessions/outbound")
        ),
        format!(
            "tunnels    {} as participant, {} as gateway, {} as endpoint",
            get("transit_tunnels/participant"),
            get("transit_tunnels/gateway"),
            get("transit_tunnels/endpoint")
        ),
        format!("carried    {} messages, {} bytes", get("transit_messages"), get("transit_bytes")),
        format!(
            "netdb      {} router infos, {} lease sets",
            get("netdb/router_infos"),
            get("netdb/lease_sets")
        ),
    ]
    .join("\n")
}

fn clock_text(answer: &Value) -> String {
    let clock = answer.get("clock");
    let ahead = clock.and_then(|clock| clock.get("seconds_ahead")).and_then(Value::as_i64);
    let routers = field(answer, "clock/routers");
    match ahead {
        None => format!("not known: only {routers} other routers have told theirs"),
        Some(0) => format!("as {routers} other routers have it"),
        Some(seconds @ 1..) => format!("{seconds} s ahead of {routers} other routers"),
        Some(seconds) => format!("{} s behind {routers} other routers", seconds.unsigned_abs()),
    }
}

fn reload_text(answer: &Value) -> String {
    let get = |path| field(answer, path);
    let mut lines = vec![format!("applied: {}; {} seeds read", get("applied"), get("seeds"))];
    let left = answer.get("needs_restart").and_then(Value::as_array);
    if left.is_some_and(|keys| !keys.is_empty()) {
        lines.push(format!(
            "changed in the file, and applied at the next start: {}",
            get("needs_restart")
        ));
    }
    lines.join("\n")
}

fn drain_text(answer: &Value) -> String {
    let tunnels: u64 = answer
        .get("transit_tunnels")
        .and_then(Value::as_object)
        .map_or(0, |roles| roles.values().filter_map(Value::as_u64).sum());
    let left = answer.get("stops_within_seconds").and_then(Value::as_u64).unwrap_or(0);
    format!("draining: {tunnels} tunnels are left; it stops within {}", duration(left))
}

fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_clock_is_told_as_others_have_it() {
        let text = |ahead: Option<i64>| {
            clock_text(&json!({ "clock": { "seconds_ahead": ahead, "routers": 7 } }))
        };
        assert_eq!(text(None), "not known: only 7 other routers have told theirs");
        assert_eq!(text(Some(0)), "as 7 other routers have it");
        assert_eq!(text(Some(42)), "42 s ahead of 7 other routers");
        assert_eq!(text(Some(-3)), "3 s behind 7 other routers");
    }

    #[test]
    fn answers_are_told_in_words() {
        let answer = json!({
            "ok": true, "applied": ["floodfill", "log_level"], "needs_restart": ["port"], "seeds": 3
        });
        let text = reload_text(&answer);
        assert!(text.starts_with("applied: floodfill, log_level; 3 seeds read\n"), "{text}");
        assert!(text.ends_with("next start: port"), "{text}");
        let nothing = json!({ "applied": [], "needs_restart": [], "seeds": 0 });
        assert_eq!(reload_text(&nothing), "applied: nothing; 0 seeds read");
        let draining = json!({ "transit_tunnels": { "gateway": 1, "endpoint": 2 }, "stops_within_seconds": 659 });
        let text = drain_text(&draining);
        assert_eq!(text, "draining: 3 tunnels are left; it stops within 10 min 59 s");
    }

    #[test]
    fn durations_are_told_in_their_largest_units() {
        assert_eq!(duration(59), "59 s");
        assert_eq!(duration(61), "1 min 1 s");
        assert_eq!(duration(7_260), "2 h 1 min");
        assert_eq!(duration(90_000), "1 d 1 h");
    }
}
