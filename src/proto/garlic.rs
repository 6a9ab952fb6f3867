//! Garlic for routers: one-shot messages under a router's own key, and replies under a key and tag agreed before, of
//! today's kind and of the old one.

pub mod router_message;
pub mod session_tag_reply;
pub mod tagged_reply;
