//! The log: to standard error, as text or JSON. Standard output is for results alone.

use std::io::IsTerminal;

use clap::ValueEnum;
use serde::Deserialize;
use tracing::level_filters::LevelFilter;

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

/// Starts logging, for the rest of the process. What libraries log above warnings is left out.
pub fn start(level: LogLevel, format: LogFormat) {
    let others = level.filter().min(LevelFilter::WARN);
    let filter = tracing_subscriber::EnvFilter::builder()
        .with_default_directive(others.into())
        .parse_lossy(format!("floodway={}", level.filter()));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let colours = std::io::stderr().is_terminal();
    // It fails only where a log was started before; then that one goes on.
    let _ = match format {
        LogFormat::Text => builder.with_ansi(colours).with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_target(false).try_init(),
    };
}
