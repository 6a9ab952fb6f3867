use super::*;
use crate::app::args::{Command, CommandLine};
use crate::app::init::DEFAULT_CONFIG;

fn args(text: &str) -> RunArgs {
    let all = ["floodway"].into_iter().chain(text.split_whitespace());
    let Command::Run(args) = CommandLine::try_read(all).unwrap().command else {
        panic!("{text} is not run");
    };
    args
}

fn raw(text: &str) -> Result<RawConfig, ConfigError> {
    RawConfig::parse(text, Path::new("floodway.toml"))
}

fn check(arguments: &str, file: &str, build: Build) -> Result<Config, ConfigError> {
    Config::check("/data".into(), &args(arguments), raw(file).unwrap(), build)
}

fn config(arguments: &str, file: &str) -> Config {
    check(arguments, file, Build::Release).unwrap()
}

fn refusal(arguments: &str, file: &str) -> String {
    check(arguments, file, Build::Release).unwrap_err().to_string()
}

#[test]
fn arguments_win_over_the_file_and_the_file_over_defaults() {
    let file = "network_id = 7\nport = 1000\nfloodfill = \"off\"\nbandwidth = \"1MB/s\"\ntransit_share = 30";
    let config = config("--port 2000 --floodfill", file);
    assert_eq!(config.network, 7);
    assert_eq!(config.port, Some(2000));
    assert_eq!(config.floodfill, FloodfillMode::On);
    assert_eq!(config.bandwidth.bytes_per_second(), 1_000_000);
    assert_eq!(config.transit_bandwidth(), 300_000);
    let share = |arguments| self::config(arguments, file).transit_share;
    assert_eq!((share(""), share("--transit-share 100")), (30, 100));
    assert_eq!(config.log_level, LogLevel::Info);
    assert!(!config.allow_private);
}

#[test]
fn the_default_file_names_every_key_at_its_default() {
    assert_eq!(raw(DEFAULT_CONFIG).unwrap(), RawConfig::default());
    for key in KEYS {
        assert!(DEFAULT_CONFIG.contains(&format!("\n#{key} = ")), "{key}");
    }
    let is_key = |line: &&str| line.starts_with('#') && !line.starts_with("# ") && line.len() > 1;
    let keys: Vec<_> = DEFAULT_CONFIG.lines().filter(is_key).map(|line| &line[1..]).collect();
    assert_eq!(keys.len(), KEYS.len());
    // Without the marks of comments it is a file of examples, all of them valid.
    let uncommented = raw(&keys.join("\n")).unwrap();
    let config = Config::check("/data".into(), &args(""), uncommented, Build::Release).unwrap();
    let defaults = self::config("", "");
    assert_eq!(config.network, defaults.network);
    assert_eq!(config.bandwidth, defaults.bandwidth);
    assert_eq!((config.transit_share, defaults.transit_share), (80, 80));
    assert_eq!(config.floodfill, defaults.floodfill);
    assert_eq!(config.log_level, defaults.log_level);
}

#[test]
fn unknown_keys_get_a_suggestion() {
    let text = raw("netwrok_id = 3").unwrap_err().to_string();
    assert!(text.contains("`netwrok_id`") && text.contains("`network_id`"), "{text}");
    let text = raw("colour = 3").unwrap_err().to_string();
    assert!(text.contains("known are network_id"), "{text}");
}

#[test]
fn wrong_types_name_the_place() {
    let text = raw("\nport = \"abc\"").unwrap_err().to_string();
    assert!(text.contains("floodway.toml") && text.contains("line 2"), "{text}");
}

#[test]
fn ranges_are_checked_for_the_file_too() {
    assert!(refusal("", "network_id = 0").contains("`network_id`"));
    assert!(refusal("", "port = 0").contains("1 to 65535"));
    assert!(refusal("", "shards = 2000").contains("1 to 1024"));
    assert!(refusal("", "host = \"0.0.0.0\"").contains("`host`"));
    assert!(refusal("", "bandwidth = \"quick\"").contains("`quick`"));
    assert!(refusal("", "transit_share = 101").contains("0 to 100"));
    assert!(refusal("--host 192.0.2.1,192.0.2.2", "").contains("publishes one"));
}

#[test]
fn reseed_sources_are_told_apart() {
    assert!(config("--reseed none", "reseed = [\"x\"]").reseed.is_empty());
    let given = "--reseed a.zip --reseed file:///dir --reseed https://reseed.example/";
    let host = "https://reseed.example/".parse().unwrap();
    let expected = [Source::File("a.zip".into()), Source::File("/dir".into()), Source::Host(host)];
    assert_eq!(config(given, "").reseed, expected);
    let text = refusal("--reseed http://reseed.example/", "");
    assert!(text.contains("http://reseed.example/") && text.contains("in the clear"), "{text}");
    assert!(!config("", "").reseed.is_empty(), "the live network has usual hosts");
    assert!(config("--network-id 99", "").reseed.is_empty());
    assert!(config("--reseed none", "").reseed.is_empty());
    assert!(refusal("--reseed none --reseed dir", "").contains("either"));
}

#[test]
fn the_live_network_is_for_release_builds_without_fixed_secrets() {
    let debug = check("", "", Build::Debug).unwrap_err();
    assert!(matches!(debug, ConfigError::DebugOnLiveNetwork));
    assert!(check("--network-id 99", "", Build::Debug).is_ok());
    let secret = "--placement-secret 00112233445566778899aabbccddeeff";
    assert!(refusal(secret, "").contains("refused on the live network"));
    let config = config(&format!("--network-id 99 {secret}"), "");
    assert_eq!(config.placement_secret.unwrap().0[..3], [0x00, 0x11, 0x22]);
}

#[test]
fn a_given_file_must_exist() {
    let args = args("--config /nonexistent/floodway.toml --data-dir /tmp");
    let error = Config::load(&args, Build::Release).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/floodway.toml"), "{error}");
}
