//! The log: to standard error, as text or JSON. Standard output is for results alone.

use std::io::IsTerminal;

use clap::ValueEnum;
use serde::Deserialize;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Our own bugs.
    Error,
    /// And what should be looked into.
    Warn,
    /// And changes that an operator cares about.
    #[default]
    Info,
    /// And decisions; may name addresses of peers.
    Debug,
    /// And packets.
    Trace,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// A line for people.
    #[default]
    Text,
    /// An object per line for machines.
    Json,
}

impl LogLevel {
    fn filter(self) -> LevelFilter {
        match self {
            LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
            LogLevel::Trace => LevelFilter::TRACE,
        }
    }
}

/// Changes how much is logged, while it is.
pub struct LogSwitch(Box<dyn Fn(LogLevel) + Send + Sync>);

impl LogSwitch {
    /// Logs as much as `level` says from here on.
    pub fn set(&self, level: LogLevel) {
        (self.0)(level);
    }
}

/// Starts logging, for the rest of the process.
pub fn start(level: LogLevel, format: LogFormat) -> LogSwitch {
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter(level)).with_writer(std::io::stderr);
    let colours = std::io::stderr().is_terminal();
    // To start fails only where a log was started before, then that one goes on; and to change fails only where it is gone.
    match format {
        LogFormat::Text => {
            let builder = builder.with_ansi(colours).with_target(false).with_filter_reloading();
            let handle = builder.reload_handle();
            let _ = builder.try_init();
            LogSwitch(Box::new(move |level| drop(handle.reload(filter(level)))))
        }
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true).with_target(false);
            let builder = builder.with_filter_reloading();
            let handle = builder.reload_handle();
            let _ = builder.try_init();
            LogSwitch(Box::new(move |level| drop(handle.reload(filter(level)))))
        }
    }
}

/// What libraries log above warnings is left out.
fn filter(level: LogLevel) -> EnvFilter {
    let others = level.filter().min(LevelFilter::WARN);
    EnvFilter::builder()
        .with_default_directive(others.into())
        .parse_lossy(format!("floodway={}", level.filter()))
}
