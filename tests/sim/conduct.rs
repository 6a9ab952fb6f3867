//! Who proves against himself that he is not to be trusted is banned for a while; who does not answer is asked no more for
//! a while.

use std::sync::Arc;
use std::time::Duration;

use floodway::base::id::{ConnectionId, RouterHash, ShardId};
use floodway::base::rng::ShardRng;
use floodway::base::time::Now;
use floodway::proto::peer::conduct::{BanReason, Deed, POOR_TIME, Profile, Profiles};
use floodway::shard::core::{Input, Output, Shard};
use floodway::wire::router_info::RouterInfo;

use super::world::World;
use super::{config, role};

/// What a router shows of itself, with a signature that is not its own.
fn forged(info: &RouterInfo) -> Vec<u8> {
    let mut bytes = info.bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    bytes
}

fn dial(world: &mut World, player: usize, info: &RouterInfo) -> bool {
    world.dial(player, &info.ntcp2_endpoint().unwrap());
    world.run_for(Duration::from_secs(5));
    world.is_connected(player, info.hash())
}

#[test]
fn who_forges_is_banned_until_the_ban_ends_and_a_stranger_in_its_name_changes_nothing() {
    for shards in [1, 3] {
        let mut world = World::new(61);
        let node_config = config(&mut world, 1, shards, true);
        let node = world.add_node(node_config, &[]);
        let info = |world: &World| world.nodes[node].shards[0].snapshot().router_info.clone();
        let [forger, other] = [62, 63].map(|n| world.add_played(role(n, "OR")));
        for player in [forger, other] {
            let ours = info(&world);
            assert!(dial(&mut world, player, &ours));
        }
        // Each has a newer RouterInfo, so that its signature matters; the one of the other is forged by the forger.
        world.run_for(Duration::from_secs(60));
        let now = world.now().unix;
        [forger, other].iter().for_each(|player| world.played[*player].router.resign(now));
        let bans = |world: &World| world.metric(node, "bans_total", "forged");
        let hash = info(&world).hash();
        let of_other = forged(&world.played[other].router.info);
        world.show(forger, hash, &of_other);
        world.run_for(Duration::from_secs(1));
        assert_eq!(world.metric(node, "netdb_stores_refused_total", "signature"), 1);
        assert_eq!((bans(&world), world.is_connected(other, hash)), (0, true));
        let of_forger = forged(&world.played[forger].router.info);
        world.show(forger, hash, &of_forger);
        world.run_for(Duration::from_secs(1));
        assert_eq!((bans(&world), world.metric(node, "peers_banned", "forged")), (1, 1));
        assert!(!world.is_connected(forger, hash));
        // It may not come back before the hour is over.
        let ours = info(&world);
        assert!(!dial(&mut world, forger, &ours));
        assert!(world.metric(node, "drops_total", "router_banned") > 0);
        assert!(world.is_connected(other, hash) || dial(&mut world, other, &ours));
        world.run_for(Duration::from_secs(3600));
        assert_eq!(world.metric(node, "peers_banned", "forged"), 0);
        let now = world.now().unix;
        world.played[forger].router.resign(now);
        let ours = info(&world);
        assert!(dial(&mut world, forger, &ours), "the ban has ended");
    }
}

#[test]
fn a_floodfill_that_does_not_answer_is_passed_over_for_a_while() {
    let mut world = World::new(64);
    let seeds: Vec<_> = (0..12)
        .map(|n| {
            let player = world.add_played(role(70 + n, "OR"));
            Arc::clone(&world.played[player].router.info)
        })
        .collect();
    let answers = config(&mut world, 1, 1, true);
    let answers = world.add_node(answers, &seeds);
    let answers = Arc::clone(&world.nodes[answers].shards[0].snapshot().router_info);
    let silent = world.add_played(role(90, "XfR"));
    let silent = Arc::clone(&world.played[silent].router.info);
    let learner = config(&mut world, 2, 2, false);
    let learner = world.add_node(learner, &[Arc::clone(&answers), Arc::clone(&silent)]);
    let lists = |world: &World| {
        let snapshot = world.nodes[learner].shards[1].snapshot();
        (snapshot.floodfills.to_vec(), snapshot.asked.to_vec())
    };
    let mut both: Vec<RouterHash> = vec![answers.hash(), silent.hash()];
    both.sort_unstable();
    let mut waited = 0;
    while lists(&world).1 != [answers.hash()] {
        world.run_for(Duration::from_secs(1));
        waited += 1;
        assert!(waited < 3_600, "{:?}", lists(&world));
    }
    assert_eq!(lists(&world).0, both, "others are still told of it");
    let mut left_alone = 0;
    while lists(&world).1 != both {
        world.run_for(Duration::from_secs(1));
        left_alone += 1;
    }
    assert!(left_alone >= POOR_TIME.as_secs() - 10, "{left_alone} s");
}

/// A shard that knows one router, which earlier runs remember as `remembered`; and its dial of it, if it makes one within a
/// minute.
fn start(remembered: Option<Deed>) -> (Shard, Now, Option<ConnectionId>) {
    let mut world = World::new(65);
    let node = config(&mut world, 1, 1, true);
    let player = world.add_played(role(9, "XfR"));
    let info = Arc::clone(&world.played[player].router.info);
    let mut now = world.now();
    let rng = ShardRng::from_seed(world.rng().bytes());
    let mut shard = Shard::new(node, ShardId(0), &[Arc::clone(&info)], rng, now);
    if let Some(deed) = remembered {
        let mut profiles = Profiles::new(1);
        profiles.note(info.hash(), deed, now.unix);
        let stored = profiles.poll_unsaved().unwrap().1.unwrap().write();
        let read = Profile::read(&stored).unwrap();
        shard.handle(Input::Profiles([(info.hash(), read)].into()), now);
    }
    let end = now.instant + Duration::from_secs(60);
    while now.instant < end {
        shard.turn(now);
        while let Some(output) = shard.poll_output() {
            if let Output::Connect { connection, .. } = output {
                return (shard, now, Some(connection));
            }
        }
        let pause = Duration::from_millis(100);
        now = Now { instant: now.instant + pause, unix: now.unix + pause };
    }
    (shard, now, None)
}

/// What a shard wants kept of routers after `input`.
fn kept_after(shard: &mut Shard, input: Input, now: Now) -> Vec<Profile> {
    shard.handle(input, now);
    shard.turn(now);
    let outputs = std::iter::from_fn(|| shard.poll_output());
    let profiles = outputs.filter_map(|output| {
        let Output::RememberPeer { profile, .. } = output else { return None };
        Profile::read(&profile?)
    });
    profiles.collect()
}

#[test]
fn a_dial_that_fails_is_held_against_the_peer_and_one_that_we_end_is_not() {
    let (mut shard, now, dial) = start(None);
    let connection = dial.unwrap();
    let kept = kept_after(&mut shard, Input::ConnectFailed { connection }, now);
    assert_eq!(kept.iter().map(|profile| profile.unreachable).collect::<Vec<_>>(), [1]);
    let (mut shard, now, dial) = start(None);
    assert!(dial.is_some());
    assert_eq!(kept_after(&mut shard, Input::Stop, now), []);
}

#[test]
fn a_ban_outlives_a_restart() {
    assert!(start(Some(Deed::Connected)).2.is_some());
    let (shard, _, dial) = start(Some(Deed::Offence(BanReason::Forged)));
    assert_eq!(dial, None);
    let report = shard.report();
    let banned = report.samples.iter().filter(|sample| sample.name == "peers_banned");
    assert_eq!(banned.map(|sample| sample.value).sum::<u64>(), 1);
}
