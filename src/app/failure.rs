//! An error as people are told it.

use std::error::Error;
use std::fmt::Write as _;

/// An error and its causes in one line. What a message before has said already is not said again: ours name their causes
/// themselves, those of libraries leave it to whoever prints them.
#[must_use]
pub fn told(error: &dyn Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !told.contains(&text) {
            // Writing to a string cannot fail.
            let _ = write!(told, ": {text}");
        }
        cause = error.source();
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Outer {
        #[error("cannot import: {0}")]
        Naming(#[from] Inner),
        #[error("cannot export")]
        Silent(#[source] Inner),
    }

    #[derive(Debug, thiserror::Error)]
    #[error("there is no file")]
    struct Inner;

    #[test]
    fn every_cause_is_said_once() {
        assert_eq!(told(&Outer::Naming(Inner)), "cannot import: there is no file");
        assert_eq!(told(&Outer::Silent(Inner)), "cannot export: there is no file");
    }
}
