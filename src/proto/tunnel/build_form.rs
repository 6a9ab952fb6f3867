//! The forms that a build message comes in, behind one face.

use crate::base::id::RouterHash;
use crate::crypto::layer::LayerKeys;
use crate::crypto::secret::SharedSecret;
use crate::crypto::x25519::X25519Public;
use crate::proto::local::HopIdentity;
use crate::wire::Malformed;
use crate::wire::i2np::MessageType;
use crate::wire::i2np::tunnel_build::{BuildMessage, LongBuildMessage, RecordSize};

use super::build_reply::{Answer, seal_reply};
use super::build_request::{
    BuildRequestError, HopRequest, OpenedRequest, ephemeral_key, find_slot, open_record,
};
use super::long_build::{LongReplyKeys, open_long_record, seal_long_reply};
use super::record_keys::GarlicReplyKey;

/// How a build message is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildForm {
    /// One to eight short records: messages 25 and 26.
    Short,
    /// One to eight long records: messages 23 and 24.
    Variable,
    /// Eight long records: messages 21 and 22.
    Fixed,
}

impl BuildForm {
    /// Type of the message as it goes from hop to hop.
    #[must_use]
    pub fn request_type(self) -> MessageType {
        match self {
            Self::Short => MessageType::ShortTunnelBuild,
            Self::Variable => MessageType::VariableTunnelBuild,
            Self::Fixed => MessageType::TunnelBuild,
        }
    }

    /// Type of the message that an outbound endpoint makes of it.
    #[must_use]
    pub fn reply_type(self) -> MessageType {
        match self {
            Self::Short => MessageType::OutboundTunnelBuildReply,
            Self::Variable => MessageType::VariableTunnelBuildReply,
            Self::Fixed => MessageType::TunnelBuildReply,
        }
    }

    /// Our record in `body`: its slot, and the creator's ephemeral key. `None` where there is none.
    ///
    /// # Errors
    /// When the body is no message of this form.
    pub fn find(
        self,
        body: &mut [u8],
        ours: &RouterHash,
    ) -> Result<Option<(usize, X25519Public)>, Malformed> {
        Ok(match self {
            Self::Short => find(&BuildMessage::parse(body, RecordSize::Short)?, ours),
            Self::Variable => find(&LongBuildMessage::parse_variable(body)?, ours),
            Self::Fixed => find(&LongBuildMessage::parse_fixed(body)?, ours),
        })
    }

    /// Opens our record in `slot` of `body`.
    ///
    /// # Errors
    /// As [`open_record`].
    pub fn open(
        self,
        body: &mut [u8],
        slot: usize,
        hop: &HopIdentity,
        shared: &SharedSecret,
    ) -> Result<OpenedRecord, BuildRequestError> {
        match self {
            Self::Short => {
                let message = BuildMessage::parse(body, RecordSize::Short).ok();
                let message = message.ok_or(BuildRequestError::NotAddressed)?;
                let record = message.record(slot).ok_or(BuildRequestError::NotAddressed)?;
                open_record(hop, record, shared).map(OpenedRecord::Short)
            }
            Self::Variable | Self::Fixed => {
                let message = self.long(body).ok_or(BuildRequestError::NotAddressed)?;
                let record = message.record(slot).ok_or(BuildRequestError::NotAddressed)?;
                open_long_record(hop, record, shared).map(OpenedRecord::Long)
            }
        }
    }

    /// Puts our answer to `opened` in `slot` of `body` and encrypts the other records.
    pub fn seal_reply(self, body: &mut [u8], slot: usize, opened: &OpenedRecord, answer: Answer) {
        match opened {
            OpenedRecord::Short(opened) => {
                if let Ok(mut message) = BuildMessage::parse(body, RecordSize::Short) {
                    seal_reply(&mut message, slot, opened, answer);
                }
            }
            OpenedRecord::Long(opened) => {
                if let Some(mut message) = self.long(body) {
                    seal_long_reply(&mut message, slot, opened, answer);
                }
            }
        }
    }

    fn long(self, body: &mut [u8]) -> Option<LongBuildMessage<'_>> {
        match self {
            Self::Short => None,
            Self::Variable => LongBuildMessage::parse_variable(body).ok(),
            Self::Fixed => LongBuildMessage::parse_fixed(body).ok(),
        }
    }
}

fn find<const SIZE: usize>(
    message: &BuildMessage<'_, SIZE>,
    ours: &RouterHash,
) -> Option<(usize, X25519Public)> {
    let slot = find_slot(message, ours)?;
    Some((slot, ephemeral_key(message.record(slot)?)))
}

/// Our record, opened.
#[derive(Debug)]
pub enum OpenedRecord {
    /// A short one.
    Short(OpenedRequest),
    /// A long one.
    Long(OpenedRequest<LongReplyKeys>),
}

impl OpenedRecord {
    /// What the creator asks.
    #[must_use]
    pub fn request(&self) -> &HopRequest {
        match self {
            Self::Short(opened) => &opened.request,
            Self::Long(opened) => &opened.request,
        }
    }

    /// Keys of our layer, and of an endpoint what it seals the whole reply with, where it is sealed.
    #[must_use]
    pub fn into_keys(self) -> (LayerKeys, Option<GarlicReplyKey>) {
        match self {
            Self::Short(opened) => (opened.keys, opened.garlic),
            Self::Long(opened) => (opened.keys, None),
        }
    }
}
