//! What privacy costs: a frame sealed and opened (SFrame), and the group's keys changed as members come and go (MLS), by
//! the size of the group: what the manager and each member spend, and how much travels.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod support;

use std::process::ExitCode;
use std::time::Instant;

use alm::identity::Identity;
use alm_media::{
    Applicant, CaptureTime, Group, GroupSigner, MediaPacket, Opener, Sealer, SenderKey, SourceIndex, TreeId,
};

use support::{Size, median, now};

const PAYLOAD: [u8; 80] = [0x5a; 80];
const ID: &[u8] = b"a session";

fn micros(since: Instant) -> f64 {
    (now() - since).as_secs_f64() * 1e6
}

/// Microseconds to seal a frame, and to open one.
fn frames(count: u64) -> (f64, f64) {
    let key = SenderKey::derive(b"a secret", &[1; 32], &[2; 16]).with_tag(9);
    let source = SourceIndex(3);
    let (mut sealer, mut opener) = (Sealer::new(&key, source), Opener::new(&key, source));
    let header = |counter| MediaPacket {
        tree: TreeId(1),
        source,
        counter,
        capture_time: CaptureTime(counter as u32),
        priority: false,
        frame: &[],
    };
    let mut sealed = vec![Vec::with_capacity(128); count as usize];
    let began = now();
    for (counter, out) in (0..).zip(&mut sealed) {
        sealer.seal(counter, &header(counter).metadata(), &PAYLOAD, out).expect("counters grow");
    }
    let seal_us = micros(began) / count as f64;
    let began = now();
    for (counter, frame) in (0..).zip(&sealed) {
        let opened = opener.open(&MediaPacket { frame, ..header(counter) });
        assert_eq!(opened.map(<[u8]>::len), Ok(PAYLOAD.len()));
    }
    (seal_us, micros(began) / count as f64)
}

fn signer(number: usize) -> GroupSigner {
    let mut seed = [7; 32];
    seed[..8].copy_from_slice(&number.to_be_bytes());
    let identity = Identity::from_seed(seed);
    GroupSigner::new(identity.node_id().0, move |message| identity.sign(message).0)
}

/// A group of that size, its manager first; made in one change.
fn group(signers: &[GroupSigner]) -> Vec<Group> {
    let mut manager = Group::create(ID, &signers[0]);
    let applicants: Vec<Applicant> = signers[1..].iter().map(Applicant::new).collect();
    let joining: Vec<_> = signers[1..]
        .iter()
        .zip(&applicants)
        .map(|(signer, applicant)| (signer.key(), applicant.key_package()))
        .collect();
    let change = manager.change(&signers[0], &joining, &[]).expect("their own key packages");
    let welcome = change.welcome.expect("somebody joins");
    let join = |applicant: Applicant| {
        applicant.join(&welcome, ID, &signers[0].key()).expect("the manager's welcome")
    };
    let members: Vec<Group> = applicants.into_iter().map(join).collect();
    std::iter::once(manager).chain(members).collect()
}

fn main() -> ExitCode {
    let Some(size) = Size::from_args("keys") else { return ExitCode::SUCCESS };
    let (count, rounds, sizes) = size.pick((500, 1, &[4][..]), (100_000, 5, &[8, 32, 100][..]));
    println!("{}", size.headline("keys"));
    let rounds_of: Vec<(f64, f64)> = (0..rounds).map(|_| frames(count)).collect();
    let (seal_us, open_us) =
        (median(rounds_of.iter().map(|round| round.0)), median(rounds_of.iter().map(|round| round.1)));
    println!("a frame of {} bytes: sealed in {seal_us:.2} us, opened in {open_us:.2} us\n", PAYLOAD.len());
    println!(
        "members   leave: manager   each member   commit      join: manager   joiner   welcome   everybody, one core"
    );
    for &members in sizes {
        let signers: Vec<GroupSigner> = (0..=members).map(signer).collect();
        let mut groups = group(&signers[..members]);
        let began = now();
        let leaver = signers[members - 1].key();
        let leave = groups[0].change(&signers[0], &[], &[leaver]).expect("a member leaves");
        let manager_us = micros(began);
        let mut follow_us = Vec::new();
        for group in &mut groups[1..] {
            let began = now();
            group.follow(&leave.commit, &signers[0].key()).expect("the manager's commit");
            follow_us.push(micros(began));
        }
        let everybody_ms = (manager_us + follow_us.iter().sum::<f64>()) / 1e3;
        let applicant = Applicant::new(&signers[members]);
        let began = now();
        let joining = [(signers[members].key(), applicant.key_package())];
        let join = groups[0].change(&signers[0], &joining, &[]).expect("its own key package");
        let join_us = micros(began);
        let welcome = join.welcome.expect("somebody joins");
        let began = now();
        let joined = applicant.join(&welcome, ID, &signers[0].key()).expect("the manager's welcome");
        let joiner_us = micros(began);
        groups[1].follow(&join.commit, &signers[0].key()).expect("the manager's commit");
        assert_eq!(joined.media_secret(), groups[1].media_secret());
        println!(
            "{members:7} {:13.1} ms {:10.1} ms {:6} B {:15.1} ms {:5.1} ms {:7} B {everybody_ms:18.0} ms",
            manager_us / 1e3,
            median(follow_us) / 1e3,
            leave.commit.len(),
            join_us / 1e3,
            joiner_us / 1e3,
            welcome.len(),
        );
    }
    ExitCode::SUCCESS
}
