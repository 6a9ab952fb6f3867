//! What key files hold: whose they are and whether their parts belong together. Private keys are never shown.

use std::path::Path;

use crate::app::args::InspectKind;
use crate::app::identity::key_file::{self, SecretFile};
use crate::app::identity::layouts::{
    IdentityKeys, JavaTransportKeys, LayoutError, TransportKeys, parse_single_key,
};
use crate::app::inspect::report::{Report, Signature};
use crate::crypto::secret::{Ed25519Seed, X25519Secret};
use crate::crypto::signature::Signer;
use crate::crypto::x25519::public_key;
use crate::proto::local::RouterKeys;
use crate::wire::base64;
use crate::wire::identity::RouterIdentity;

/// The layouts of key files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// Our own.
    Floodway,
    /// `router.keys` of i2pd, `router.keys.dat` of Java.
    Identity,
    /// `ntcp2.keys` of i2pd.
    I2pdNtcp2,
    /// `ssu2.keys` of i2pd.
    I2pdSsu2,
    /// `ntcp2.keys` of emissary.
    EmissaryNtcp2,
    /// `ssu2.keys` of emissary.
    EmissarySsu2,
    /// `static.key` of emissary.
    EmissaryStatic,
    /// `signing.key` of emissary.
    EmissarySigning,
    /// `router.config` of Java.
    JavaConfig,
}

impl Layout {
    fn name(self) -> &'static str {
        match self {
            Self::Floodway => "floodway router.keys",
            Self::Identity => "i2pd router.keys, Java router.keys.dat",
            Self::I2pdNtcp2 => "i2pd ntcp2.keys",
            Self::I2pdSsu2 => "i2pd ssu2.keys",
            Self::EmissaryNtcp2 => "emissary ntcp2.keys",
            Self::EmissarySsu2 => "emissary ssu2.keys",
            Self::EmissaryStatic => "emissary static.key",
            Self::EmissarySigning => "emissary signing.key",
            Self::JavaConfig => "Java router.config",
        }
    }

    /// The layout that content shows by itself.
    fn by_shape(bytes: &[u8]) -> Option<Self> {
        if key_file::is_key_file(bytes) {
            Some(Self::Floodway)
        } else if IdentityKeys::parse(bytes).is_ok() {
            Some(Self::Identity)
        } else if TransportKeys::<16>::parse_i2pd(bytes).is_ok() {
            Some(Self::I2pdNtcp2)
        } else if TransportKeys::<32>::parse_i2pd(bytes).is_ok() {
            Some(Self::I2pdSsu2)
        } else {
            None
        }
    }

    /// The layout that a file of this name and size has.
    fn by_name(name: &str, size: usize) -> Option<Self> {
        match (name, size) {
            ("router.keys" | "router.keys.dat", _) => Some(Self::Identity),
            ("ntcp2.keys", 48) => Some(Self::EmissaryNtcp2),
            ("ntcp2.keys", _) => Some(Self::I2pdNtcp2),
            ("ssu2.keys", 64) => Some(Self::EmissarySsu2),
            ("ssu2.keys", _) => Some(Self::I2pdSsu2),
            ("static.key", _) => Some(Self::EmissaryStatic),
            ("signing.key", _) => Some(Self::EmissarySigning),
            ("router.config", _) => Some(Self::JavaConfig),
            _ => None,
        }
    }

    /// The layout that key files of this size have.
    fn by_size(size: usize) -> Self {
        match size {
            48 => Self::EmissaryNtcp2,
            64 => Self::EmissarySsu2,
            80 => Self::I2pdNtcp2,
            96 => Self::I2pdSsu2,
            _ => Self::Identity,
        }
    }
}

/// Describes a key file; `None` when neither name nor shape says that it is one.
#[must_use]
pub fn recognise(path: &Path, file: &SecretFile) -> Option<Report> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let layout = Layout::by_shape(&file.bytes);
    let layout = layout.or_else(|| Layout::by_name(name, file.bytes.len()))?;
    Some(describe_as(layout, file))
}

/// Describes a file that is said to be a key file.
#[must_use]
pub fn describe(path: &Path, file: &SecretFile) -> Report {
    recognise(path, file).unwrap_or_else(|| describe_as(Layout::by_size(file.bytes.len()), file))
}

fn describe_as(layout: Layout, file: &SecretFile) -> Report {
    let parsed =
        match layout {
            Layout::Floodway => floodway(file),
            Layout::Identity => {
                IdentityKeys::parse(&file.bytes).map(|keys| of_identity(&keys.identity))
            }
            Layout::I2pdNtcp2 => {
                TransportKeys::<16>::parse_i2pd(&file.bytes).map(|keys| transport(&keys, "ntcp2"))
            }
            Layout::I2pdSsu2 => {
                TransportKeys::<32>::parse_i2pd(&file.bytes).map(|keys| transport(&keys, "ssu2"))
            }
            Layout::EmissaryNtcp2 => TransportKeys::<16>::parse_emissary(&file.bytes)
                .map(|keys| transport(&keys, "ntcp2")),
            Layout::EmissarySsu2 => TransportKeys::<32>::parse_emissary(&file.bytes)
                .map(|keys| transport(&keys, "ssu2")),
            Layout::EmissaryStatic => parse_single_key(&file.bytes).map(|key| {
                let secret = X25519Secret::from_bytes(key);
                with_public("encryption_key", &public_key(&secret).0)
            }),
            Layout::EmissarySigning => parse_single_key(&file.bytes).map(|key| {
                let signer = Signer::from_seed(&Ed25519Seed::from_bytes(key));
                with_public("signing_key", signer.public_key().bytes())
            }),
            Layout::JavaConfig => java(file),
        };
    let mut report =
        parsed.unwrap_or_else(|error| Report::broken(InspectKind::Keys, error.to_string()));
    if file.is_exposed() {
        let warning = format!(
            "others can read it (mode {:03o}): whoever copies it can be this router; `chmod 600` ends that",
            file.mode
        );
        match layout {
            // Our own router refuses such a file; i2pd and emissary write theirs so.
            Layout::Floodway => report.refuse(warning),
            Layout::Identity
            | Layout::I2pdNtcp2
            | Layout::I2pdSsu2
            | Layout::EmissaryNtcp2
            | Layout::EmissarySsu2
            | Layout::EmissaryStatic
            | Layout::EmissarySigning
            | Layout::JavaConfig => report.note(warning),
        }
    }
    report.field("format", layout.name());
    report.field("mode", format!("{:03o}", file.mode));
    report.field("size", file.bytes.len());
    report
}

fn floodway(file: &SecretFile) -> Result<Report, LayoutError> {
    let secrets = match key_file::decode(&file.bytes) {
        Ok(secrets) => secrets,
        Err(damage) => return Ok(Report::broken(InspectKind::Keys, damage.to_string())),
    };
    let keys = RouterKeys::from_secrets(secrets)?;
    let mut report = of_identity(&keys.identity);
    report.field("ntcp2_static_key", base64::encode(&keys.ntcp2.static_public.0));
    report.field("ssu2_static_key", base64::encode(&public_key(&keys.ssu2_static).0));
    Ok(report)
}

fn of_identity(identity: &RouterIdentity) -> Report {
    let hash = base64::encode(&identity.hash().0);
    let mut report = Report::new(InspectKind::Keys, Some(hash), Signature::Absent);
    let signing = identity.signing_key().kind();
    report.key_types(signing, identity.encryption_type(), identity.certificate_kind());
    report
}

fn transport<const N: usize>(keys: &TransportKeys<N>, name: &str) -> Report {
    with_public(&format!("{name}_static_key"), &public_key(&keys.secret).0)
}

fn with_public(name: &str, key: &[u8]) -> Report {
    let mut report = Report::new(InspectKind::Keys, None, Signature::Absent);
    report.field(name, base64::encode(key));
    report
}

fn java(file: &SecretFile) -> Result<Report, LayoutError> {
    let config = zeroize::Zeroizing::new(String::from_utf8_lossy(&file.bytes).into_owned());
    let keys = JavaTransportKeys::parse(&config)?;
    if keys.ntcp2.is_none() && keys.ssu2.is_none() {
        return Ok(Report::broken(InspectKind::Keys, "no keys of NTCP2 or SSU2 are in it"));
    }
    let mut report = Report::new(InspectKind::Keys, None, Signature::Absent);
    let public = |secret: &X25519Secret| base64::encode(&public_key(secret).0);
    report.field("ntcp2_static_key", keys.ntcp2.map(|keys| public(&keys.secret)));
    report.field("ssu2_static_key", keys.ssu2.map(|keys| public(&keys.secret)));
    Ok(report)
}
