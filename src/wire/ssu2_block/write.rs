//! Blocks of our own.

use crate::wire::ntcp2::FloodRequest;
use crate::wire::ssu2_block::relay::write_address;
use crate::wire::ssu2_block::{
    ACK, ADDRESS, BLOCK_HEADER_SIZE, CONGESTION, DATE_TIME, FIRST_FRAGMENT, FIRST_PACKET_NUMBER,
    FLAG_FLOOD, FLAG_GZIP, FLAG_LAST, FOLLOW_ON_FRAGMENT, I2NP, InfoEncoding, NEW_TOKEN,
    NEXT_NONCE, OPTIONS, PADDING, PATH_CHALLENGE, PATH_RESPONSE, PEER_TEST, RELAY_INTRO,
    RELAY_REQUEST, RELAY_RESPONSE, RELAY_TAG, RELAY_TAG_REQUEST, ROUTER_INFO, Ssu2Block,
    TERMINATION, WHOLE_ROUTER_INFO,
};

/// Appends `block`. Fields have to be in the ranges that [`Ssu2Block`] gives for them.
pub fn append_block(out: &mut Vec<u8>, block: &Ssu2Block<'_>) {
    let start = out.len();
    out.push(kind(block));
    out.extend_from_slice(&[0; 2]);
    append_data(out, block);
    let size = out.len() - start - BLOCK_HEADER_SIZE;
    debug_assert!(size <= usize::from(u16::MAX), "block of {size} bytes");
    let size = u16::try_from(size).unwrap_or(u16::MAX).to_be_bytes();
    if let Some(place) = out.get_mut(start + 1..start + BLOCK_HEADER_SIZE) {
        place.copy_from_slice(&size);
    }
}

/// Appends a Padding block of `length` zero bytes. Nothing may follow it in its packet.
pub fn append_padding(out: &mut Vec<u8>, length: u16) {
    out.push(PADDING);
    out.extend_from_slice(&length.to_be_bytes());
    out.resize(out.len() + usize::from(length), 0);
}

fn kind(block: &Ssu2Block<'_>) -> u8 {
    match block {
        Ssu2Block::DateTime(_) => DATE_TIME,
        Ssu2Block::Options(_) => OPTIONS,
        Ssu2Block::RouterInfo { .. } => ROUTER_INFO,
        Ssu2Block::I2np(_) => I2NP,
        Ssu2Block::FirstFragment(_) => FIRST_FRAGMENT,
        Ssu2Block::FollowOnFragment { .. } => FOLLOW_ON_FRAGMENT,
        Ssu2Block::Termination { .. } => TERMINATION,
        Ssu2Block::RelayRequest(_) => RELAY_REQUEST,
        Ssu2Block::RelayResponse(_) => RELAY_RESPONSE,
        Ssu2Block::RelayIntro(_) => RELAY_INTRO,
        Ssu2Block::PeerTest(_) => PEER_TEST,
        Ssu2Block::NextNonce(_) => NEXT_NONCE,
        Ssu2Block::Ack(_) => ACK,
        Ssu2Block::Address(_) => ADDRESS,
        Ssu2Block::RelayTagRequest => RELAY_TAG_REQUEST,
        Ssu2Block::RelayTag(_) => RELAY_TAG,
        Ssu2Block::NewToken { .. } => NEW_TOKEN,
        Ssu2Block::PathChallenge(_) => PATH_CHALLENGE,
        Ssu2Block::PathResponse(_) => PATH_RESPONSE,
        Ssu2Block::FirstPacketNumber(_) => FIRST_PACKET_NUMBER,
        Ssu2Block::Congestion { .. } => CONGESTION,
        Ssu2Block::Padding(_) => PADDING,
        Ssu2Block::Unknown { kind, .. } => *kind,
    }
}

fn append_data(out: &mut Vec<u8>, block: &Ssu2Block<'_>) {
    match block {
        Ssu2Block::DateTime(number) | Ssu2Block::FirstPacketNumber(number) => {
            out.extend_from_slice(&number.to_be_bytes());
        }
        Ssu2Block::RouterInfo { flood, encoding, unused_flags, info } => {
            let flood = if *flood == FloodRequest::Requested { FLAG_FLOOD } else { 0 };
            let gzip = if *encoding == InfoEncoding::Gzip { FLAG_GZIP } else { 0 };
            let unused = unused_flags & !(FLAG_FLOOD | FLAG_GZIP);
            out.extend_from_slice(&[unused | flood | gzip, WHOLE_ROUTER_INFO]);
            out.extend_from_slice(info);
        }
        Ssu2Block::FollowOnFragment { message, number, last, data } => {
            debug_assert!((1..128).contains(number), "fragment {number}");
            out.push((number << 1) | if *last { FLAG_LAST } else { 0 });
            out.extend_from_slice(&message.0.to_be_bytes());
            out.extend_from_slice(data);
        }
        Ssu2Block::Termination { received, reason, data } => {
            out.extend_from_slice(&received.to_be_bytes());
            out.push(reason.code());
            out.extend_from_slice(data);
        }
        Ssu2Block::RelayRequest(request) => {
            out.push(request.flag);
            request.terms.write(out);
            out.extend_from_slice(request.signature);
        }
        Ssu2Block::RelayIntro(intro) => {
            out.push(intro.flag);
            out.extend_from_slice(&intro.router.0);
            intro.terms.write(out);
            out.extend_from_slice(intro.signature);
        }
        Ssu2Block::RelayResponse(response) => response.write(out),
        Ssu2Block::PeerTest(test) => test.write(out),
        Ssu2Block::Ack(ack) => ack.write(out),
        Ssu2Block::Address(address) => write_address(address, out),
        Ssu2Block::RelayTagRequest => {}
        Ssu2Block::RelayTag(tag) => out.extend_from_slice(&tag.number().to_be_bytes()),
        Ssu2Block::NewToken { expires, token } => {
            out.extend_from_slice(&expires.to_be_bytes());
            out.extend_from_slice(&token.0);
        }
        Ssu2Block::Congestion { flags, data } => {
            out.push(*flags);
            out.extend_from_slice(data);
        }
        Ssu2Block::Options(data)
        | Ssu2Block::I2np(data)
        | Ssu2Block::FirstFragment(data)
        | Ssu2Block::NextNonce(data)
        | Ssu2Block::PathChallenge(data)
        | Ssu2Block::PathResponse(data)
        | Ssu2Block::Padding(data)
        | Ssu2Block::Unknown { kind: _, data } => out.extend_from_slice(data),
    }
}
