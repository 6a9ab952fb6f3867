//! What a new reading of the configuration changes: what can be applied to a running router, and what cannot.

use super::Config;

/// Keys whose values differ between two readings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Those that a running router takes over.
    pub applied: Vec<&'static str>,
    /// Those that count from its next start on.
    pub needs_restart: Vec<&'static str>,
}

impl Difference {
    /// What differs from `old` in `new`.
    #[must_use]
    pub fn between(old: &Config, new: &Config) -> Self {
        let changed = |keys: &[(&'static str, bool)]| {
            keys.iter().filter(|(_, differs)| *differs).map(|(key, _)| *key).collect()
        };
        let Config {
            data_dir,
            network,
            host,
            port,
            floodfill,
            reseed,
            reseed_signers,
            reseed_ca,
            allow_private,
            shards,
            bandwidth,
            transit_share,
            cork,
            metrics,
            log_level,
            log_format,
            placement_secret,
            layer_kernel,
        } = old;
        Self {
            applied: changed(&[
                ("floodfill", *floodfill != new.floodfill),
                ("reseed", *reseed != new.reseed),
                ("reseed_signers", *reseed_signers != new.reseed_signers),
                ("reseed_ca", *reseed_ca != new.reseed_ca),
                ("allow_private", *allow_private != new.allow_private),
                ("bandwidth", *bandwidth != new.bandwidth),
                ("transit_share", *transit_share != new.transit_share),
                ("cork", *cork != new.cork),
                ("log_level", *log_level != new.log_level),
            ]),
            needs_restart: changed(&[
                ("data_dir", *data_dir != new.data_dir),
                ("network_id", *network != new.network),
                ("host", *host != new.host),
                ("port", *port != new.port),
                ("shards", *shards != new.shards),
                ("metrics", *metrics != new.metrics),
                ("log_format", *log_format != new.log_format),
                ("placement_secret", *placement_secret != new.placement_secret),
                ("layer_kernel", *layer_kernel != new.layer_kernel),
            ]),
        }
    }
}

impl Config {
    /// Takes over from `new` what a running router can.
    pub fn take_live(&mut self, new: &Config) {
        self.floodfill = new.floodfill;
        self.reseed.clone_from(&new.reseed);
        self.reseed_signers.clone_from(&new.reseed_signers);
        self.reseed_ca.clone_from(&new.reseed_ca);
        self.allow_private = new.allow_private;
        self.bandwidth = new.bandwidth;
        self.transit_share = new.transit_share;
        self.cork = new.cork;
        self.log_level = new.log_level;
    }
}
