//! Garlic for routers: one-shot messages under a router's own key, and replies under a key and tag agreed before.

pub mod router_message;
pub mod tagged_reply;
