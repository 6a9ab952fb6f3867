"""Which shard a router belongs to: SipHash-2-4 of its hash under the placement secret, modulo shards."""

import struct

from testnet.routerinfo import unb64

MASK = (1 << 64) - 1


def siphash24(key, data):
    k0, k1 = struct.unpack("<QQ", key)
    v = [k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d,
         k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573]

    def turn(word, by):
        return (word << by | word >> (64 - by)) & MASK

    def rounds(count):
        for _ in range(count):
            v[0] = (v[0] + v[1]) & MASK
            v[1] = turn(v[1], 13) ^ v[0]
            v[0] = turn(v[0], 32)
            v[2] = (v[2] + v[3]) & MASK
            v[3] = turn(v[3], 16) ^ v[2]
            v[0] = (v[0] + v[3]) & MASK
            v[3] = turn(v[3], 21) ^ v[0]
            v[2] = (v[2] + v[1]) & MASK
            v[1] = turn(v[1], 17) ^ v[2]
            v[2] = turn(v[2], 32)

    tail = data[len(data) // 8 * 8:]
    words = [w for w, in struct.iter_unpack("<Q", data[:len(data) // 8 * 8])]
    words.append(int.from_bytes(tail, "little") | (len(data) & 0xff) << 56)
    for word in words:
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xff
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def shard_of(secret, router_hash, shards):
    return siphash24(secret, unb64(router_hash)) % shards


# Routers that take turns; each more doubles the time of the search.
TURNS_MAX = 10


def splitting_secret(router_hashes, shards):
    """A secret, in hex, under which the first ten routers take turns: the first on shard 0, the next on 1.."""
    chosen = router_hashes[:TURNS_MAX]
    for number in range(1 << 20):
        secret = number.to_bytes(16, "little")
        if all(shard_of(secret, h, shards) == place % shards for place, h in enumerate(chosen)):
            return secret.hex()
    raise AssertionError(f"no secret found that splits {len(chosen)} routers over {shards} shards")
