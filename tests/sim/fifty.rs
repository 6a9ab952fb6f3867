//! Fifty routers in bad weather, and that their world is the same in every process that has the same seed.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use floodway::wire::base64;
use floodway::wire::i2np::MessageType;
use floodway::wire::router_info::RouterInfo;
use loadtest::played::Role;

use super::weather::Weather;
use super::world::World;
use super::{NETWORK, address, config, tunnels};

/// Routers in the world.
const ROUTERS: u8 = 50;
/// Every how many of them one is a floodfill.
const FLOODFILL_EVERY: u8 = 5;
/// Tells a process of the test which seed to run.
const SEED_VARIABLE: &str = "SIM_FIFTY_SEED";

/// Runs the world of one seed to its end; the trace of all that happened.
fn live_through(seed: u64) -> String {
    let mut world = World::new(seed);
    world.weather = Weather { loss_percent: 20 };
    let player = world.add_played(Role {
        network: NETWORK,
        address: address(ROUTERS),
        capabilities: "OR".to_owned(),
    });
    let mut known = vec![Arc::clone(&world.played[player].router.info)];
    for n in 0..ROUTERS {
        let config = config(&mut world, n, 2, n % FLOODFILL_EVERY == 0);
        // Each begins with the first router and a few others.
        let mut seeds: Vec<_> = known.iter().take(2).cloned().collect();
        for _ in 0..4 {
            let position = world.rng().below(known.len());
            seeds.push(Arc::clone(&known[position]));
        }
        let node = world.add_node(config, &seeds);
        known.push(Arc::clone(&world.nodes[node].shards[0].snapshot().router_info));
        world.run_for(Duration::from_millis(500));
    }
    let nodes = 0..usize::from(ROUTERS);
    world.run_for(Duration::from_secs(60));
    let sessions = |world: &World, node| world.metric(node, "sessions", "");
    for node in nodes.clone() {
        assert!(sessions(&world, node) > 0, "router {node} is alone");
    }

    // Half of them are cut off for longer than connections bear it; then all is one again.
    let carried = drive(&mut world, player, &known);
    assert!(carried > 0, "no tunnel carries anything at 20 % loss");
    let before: u64 = nodes.clone().map(|node| sessions(&world, node)).sum();
    world.partition(nodes.clone().filter(|node| node % 2 == 1).collect());
    world.run_for(Duration::from_secs(90));
    let during: u64 = nodes.clone().map(|node| sessions(&world, node)).sum();
    assert!(during < before, "{during} sessions in a cut network, {before} before");
    world.partition(Vec::new());
    world.run_for(Duration::from_secs(60));
    assert!(drive(&mut world, player, &known) > 0, "nothing is carried after the partition");
    let published: u64 = nodes
        .map(|node| u64::from(world.metric(node, "publications_confirmed_total", "") > 0))
        .sum();
    assert!(published >= u64::from(ROUTERS) * 9 / 10, "{published} of {ROUTERS} are published");
    base64::encode(&world.trace())
}

/// Builds tunnels over pairs of routers and sends through those that come about; how many messages arrived.
fn drive(world: &mut World, player: usize, known: &[Arc<RouterInfo>]) -> usize {
    let data = |world: &World| {
        let received = world.played[player].received.iter();
        received.filter(|(_, _, message)| message.kind == MessageType::Data).count()
    };
    let before = data(world);
    for pair in known[1..].chunks(2).take(8) {
        let endpoint = pair[0].ntcp2_endpoint().unwrap();
        if !world.is_connected(player, pair[0].hash()) {
            world.dial(player, &endpoint);
            world.run_for(Duration::from_secs(10));
        }
        if !world.is_connected(player, pair[0].hash()) {
            continue;
        }
        if let Some(mut tunnel) = tunnels::try_outbound(world, player, pair) {
            for n in 0..5u32 {
                tunnel.send_numbered(world, n, 700);
            }
            world.run_for(Duration::from_secs(5));
        }
    }
    data(world) - before
}

#[test]
fn fifty_routers_live_the_same_life_in_two_processes() {
    if let Ok(seed) = std::env::var(SEED_VARIABLE) {
        println!("trace {}", live_through(seed.parse().unwrap()));
        return;
    }
    let traces: Vec<String> = [1, 1, 2].map(trace_of_another_process).into();
    assert_eq!(traces[0], traces[1], "the same seed, and another life");
    assert_ne!(traces[0], traces[2], "another seed, and the same life");
}

fn trace_of_another_process(seed: u64) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "fifty::fifty_routers_live_the_same_life_in_two_processes",
            "--nocapture",
        ])
        .env(SEED_VARIABLE, seed.to_string())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "seed {seed}:\n{text}{errors}");
    let trace = text.lines().find_map(|line| line.split_once("trace ")).expect("a trace").1;
    trace.to_owned()
}
