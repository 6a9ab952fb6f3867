//! What a router says of itself in one letter each: bandwidth, floodfill, reachability, congestion.
//!
//! Spec: network database, router capabilities.

/// The bandwidth letters, from the least to the most.
const BANDWIDTHS: [char; 7] = ['K', 'L', 'M', 'N', 'O', 'P', 'X'];

/// Whether others can open connections to a router.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reachability {
    /// It does not say.
    #[default]
    Unknown,
    /// `R`: they can.
    Reachable,
    /// `U`: they cannot.
    Unreachable,
}

/// How much room a router has for tunnels of others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Congestion {
    /// It does not complain.
    #[default]
    None,
    /// `D`: better ask another.
    Medium,
    /// `E`: it refuses most tunnels. Counts as `D` once the RouterInfo is 15 minutes old.
    High,
    /// `G`: it refuses all tunnels.
    Full,
}

/// The letters of a router, by what they mean. Letters that mean nothing to us are dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    bandwidth: Option<char>,
    floodfill: bool,
    hidden: bool,
    reachability: Reachability,
    congestion: Congestion,
}

impl Capabilities {
    /// Reads the value of the option `caps`. Of several bandwidths the highest counts, as older routers write a
    /// lower one beside it; of several congestions the worst; `U` beside `R` counts as `U`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut all = Self::default();
        for letter in text.chars() {
            match letter {
                'f' => all.floodfill = true,
                'H' => all.hidden = true,
                'U' => all.reachability = Reachability::Unreachable,
                'R' if all.reachability == Reachability::Unknown => {
                    all.reachability = Reachability::Reachable;
                }
                'D' => all.congestion = all.congestion.max(Congestion::Medium),
                'E' => all.congestion = all.congestion.max(Congestion::High),
                'G' => all.congestion = all.congestion.max(Congestion::Full),
                _ if rank(Some(letter)) > rank(all.bandwidth) => all.bandwidth = Some(letter),
                _ => {}
            }
        }
        all
    }

    /// These with another bandwidth letter, one of `K` to `P` and `X`; any other leaves it as it was.
    #[must_use]
    pub fn with_bandwidth(self, letter: char) -> Self {
        let bandwidth = rank(Some(letter)).map_or(self.bandwidth, |_| Some(letter));
        Self { bandwidth, ..self }
    }

    /// These as a floodfill's.
    #[must_use]
    pub fn with_floodfill(self) -> Self {
        Self { floodfill: true, ..self }
    }

    /// These without being a floodfill's.
    #[must_use]
    pub fn without_floodfill(self) -> Self {
        Self { floodfill: false, ..self }
    }

    /// These with another reachability.
    #[must_use]
    pub fn with_reachability(self, reachability: Reachability) -> Self {
        Self { reachability, ..self }
    }

    /// These with another congestion.
    #[must_use]
    pub fn with_congestion(self, congestion: Congestion) -> Self {
        Self { congestion, ..self }
    }

    /// Whether the router stores records for others and answers for them (`f`).
    #[must_use]
    pub fn is_floodfill(&self) -> bool {
        self.floodfill
    }

    /// Whether the router does not want to be found (`H`).
    #[must_use]
    pub fn is_hidden(&self) -> bool {
        self.hidden
    }

    /// Whether others can connect to the router (`R`).
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        self.reachability == Reachability::Reachable
    }

    /// Whether others cannot connect to the router (`U`).
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        self.reachability == Reachability::Unreachable
    }

    /// Room for tunnels of others.
    #[must_use]
    pub fn congestion(&self) -> Congestion {
        self.congestion
    }

    /// The bandwidth letter, `K` for the least to `P` and `X` for the most; routers without one are never chosen.
    #[must_use]
    pub fn bandwidth(&self) -> Option<char> {
        self.bandwidth
    }

    /// Whether the bandwidth is `O` or more, which is what others ask of a hop for client tunnels.
    #[must_use]
    pub fn is_high_bandwidth(&self) -> bool {
        rank(self.bandwidth) >= rank(Some('O'))
    }

    /// The value of the option `caps`, congestion last.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        text.extend(self.bandwidth);
        text.extend(self.floodfill.then_some('f'));
        text.extend(self.hidden.then_some('H'));
        text.extend(match self.reachability {
            Reachability::Unknown => None,
            Reachability::Reachable => Some('R'),
            Reachability::Unreachable => Some('U'),
        });
        text.extend(match self.congestion {
            Congestion::None => None,
            Congestion::Medium => Some('D'),
            Congestion::High => Some('E'),
            Congestion::Full => Some('G'),
        });
        text
    }
}

/// Place of a bandwidth letter; no letter comes before all.
fn rank(letter: Option<char>) -> Option<usize> {
    let letter = letter?;
    BANDWIDTHS.iter().position(|other| *other == letter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn letters_mean_what_the_specification_says() {
        let all = Capabilities::parse("XfR");
        assert!(all.is_floodfill() && all.is_reachable() && all.is_high_bandwidth());
        assert!(!all.is_hidden() && !all.is_unreachable());
        assert_eq!((all.bandwidth(), all.congestion()), (Some('X'), Congestion::None));
        assert_eq!(all.to_text(), "XfR");

        let all = Capabilities::parse("LHUE");
        assert!(all.is_hidden() && all.is_unreachable() && !all.is_high_bandwidth());
        assert_eq!((all.bandwidth(), all.congestion()), (Some('L'), Congestion::High));
    }

    #[test]
    fn contradictions_are_settled() {
        let all = Capabilities::parse("POURDG4é");
        assert_eq!(all.to_text(), "PUG");
        assert_eq!(Capabilities::parse("OP").bandwidth(), Some('P'));
        assert_eq!(Capabilities::parse("RU"), Capabilities::parse("UR"));
        assert_eq!(Capabilities::parse("").bandwidth(), None);
        assert!(!Capabilities::parse("fR").is_high_bandwidth());
    }

    #[test]
    fn letters_are_written_as_they_are_read() {
        let all = Capabilities::default()
            .with_bandwidth('X')
            .with_bandwidth('?')
            .with_floodfill()
            .with_reachability(Reachability::Reachable)
            .with_congestion(Congestion::Medium);
        assert_eq!(all.to_text(), "XfRD");
        assert_eq!(all.without_floodfill().to_text(), "XRD");
    }

    proptest! {
        #[test]
        fn any_text_settles_once(text: String) {
            let all = Capabilities::parse(&text);
            prop_assert_eq!(Capabilities::parse(&all.to_text()), all);
        }
    }
}
