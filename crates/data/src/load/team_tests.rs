//! Processes that load together get what one process gets.

use std::fs;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use super::cache_tests::{Bench, assert_same};
use super::load_dataset_together;
use crate::dataset::Dataset;
use crate::error::DataError;
use crate::options::LoadOptions;
use crate::progress::Stage;
use crate::team::Team;

/// A process that is a thread of the test.
struct InThread {
    rank: usize,
    to: Vec<Sender<Vec<u8>>>,
    from: Vec<Mutex<Receiver<Vec<u8>>>>,
}

impl Team for InThread {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.to.len()
    }

    fn name(&self, rank: usize) -> String {
        format!("process {rank}")
    }

    fn gather(&self, own: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        let gone = |_| io::Error::other("a process is gone");
        for to in &self.to {
            to.send(own.to_vec()).map_err(|_| io::Error::other("a process is gone"))?;
        }
        self.from.iter().map(|from| from.lock().unwrap().recv().map_err(gone)).collect()
    }
}

/// What each of `size` processes gets by `work`.
fn on_team<T: Send>(size: usize, work: impl Fn(&InThread) -> T + Sync) -> Vec<T> {
    let mut to: Vec<Vec<_>> = (0..size).map(|_| Vec::new()).collect();
    let mut from: Vec<Vec<_>> = (0..size).map(|_| Vec::new()).collect();
    for senders in &mut to {
        for receivers in &mut from {
            let (send, receive) = channel();
            senders.push(send);
            receivers.push(Mutex::new(receive));
        }
    }
    thread::scope(|scope| {
        let members = to.into_iter().zip(from).enumerate();
        let members = members.map(|(rank, (to, from))| InThread { rank, to, from });
        let work = &work;
        let threads: Vec<_> = members.map(|member| scope.spawn(move || work(&member))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// What each process loads, and how many files it has decoded.
fn load_on(size: usize, bench: &Bench, options: &LoadOptions) -> Vec<(Result<Dataset, DataError>, usize)> {
    on_team(size, |team| {
        let n_decoded = AtomicUsize::new(0);
        let count = |stage: Stage, _, _| {
            n_decoded.fetch_add(usize::from(stage == Stage::Decoding), Ordering::Relaxed);
        };
        let data = load_dataset_together(&bench.data(), options, team, &count);
        (data, n_decoded.into_inner())
    })
}

#[test]
fn every_process_has_the_same_data_and_decodes_its_share() {
    let bench = Bench::new();
    let expected = bench.load();
    let n_files: usize =
        ["a", "b"].map(|class| fs::read_dir(bench.path(class)).unwrap().count()).into_iter().sum();
    for size in [1, 2, 3, 64] {
        let loaded = load_on(size, &bench, &bench.options);
        for (data, n_decoded) in &loaded {
            assert_same(data.as_ref().unwrap(), &expected);
            assert!(*n_decoded <= n_files.div_ceil(size), "{n_decoded} of {n_files} by one of {size}");
        }
        assert_eq!(loaded.iter().map(|(_, n_decoded)| n_decoded).sum::<usize>(), n_files);
    }
}

#[test]
fn caches_are_made_together_and_used_only_if_all_have_one() {
    let bench = Bench::new();
    let expected = bench.load();
    let own_cache = |rank: usize| LoadOptions {
        cache: Some(bench.cache().join(rank.to_string())),
        ..bench.options.clone()
    };
    let check = || {
        on_team(2, |team| {
            let options = own_cache(team.rank());
            let data = load_dataset_together(&bench.data(), &options, team, &crate::progress::silent);
            assert_same(&data.unwrap(), &expected);
        })
    };
    let files = || {
        [0, 1].map(|rank| {
            let mut files = fs::read_dir(bench.cache().join(rank.to_string())).unwrap();
            let path = files.next().expect("a cache").unwrap().path();
            assert!(files.next().is_none());
            path
        })
    };
    check();
    let [first, second] = files().map(|path| fs::read(path).unwrap());
    assert!(first == second, "caches of one team differ");
    let made = files().map(|path| fs::metadata(path).unwrap().modified().unwrap());
    check();
    assert_eq!(files().map(|path| fs::metadata(path).unwrap().modified().unwrap()), made, "made again");
    fs::remove_file(&files()[1]).unwrap();
    check();
    assert_eq!(files().map(|path| fs::read(path).unwrap()), [first, second]);
    // One folder for both.
    for _ in 0..2 {
        for (data, _) in load_on(2, &bench, &bench.with_cache()) {
            assert_same(&data.unwrap(), &expected);
        }
    }
}

#[test]
fn what_fails_on_one_process_fails_on_all_with_its_reason() {
    let bench = Bench::new();
    let fails = |options: [LoadOptions; 2], expected: [&str; 2]| {
        let errors = on_team(2, |team| {
            let options = &options[team.rank()];
            let data = load_dataset_together(&bench.data(), options, team, &crate::progress::silent);
            data.unwrap_err().to_string()
        });
        for (error, expected) in errors.iter().zip(expected) {
            assert!(error.contains(expected), "{errors:?}");
        }
    };
    let good = || bench.options.clone();
    // Each rejects the bad files of all.
    let strict = || LoadOptions { skip_bad: false, ..good() };
    fails([strict(), strict()], ["3 of 31", "3 of 31"]);
    // A list that cannot be made.
    let missing = LoadOptions { test_dir: Some(bench.path("nosuch")), ..good() };
    fails([good(), missing], ["process 1: ", "nosuch"]);
    // Other files.
    let other = LoadOptions { test_dir: Some(bench.data()), ..good() };
    fails([good(), other], ["process 1 has", "process 1 has"]);
    // A file of the same name, with a byte more.
    let copy = Bench::new();
    let name = "a/person0_virus_0.png";
    let longer = [fs::read(copy.path(name)).unwrap(), vec![0]].concat();
    fs::write(copy.path(name), longer).unwrap();
    let errors = on_team(2, |team| {
        let data = [&bench, &copy][team.rank()].data();
        load_dataset_together(&data, &bench.options, team, &crate::progress::silent).unwrap_err().to_string()
    });
    assert!(errors.iter().all(|error| error.starts_with("process 1 has 31 files")), "{errors:?}");
    // A cache that cannot be made: its folder is a file.
    fs::write(bench.cache().parent().unwrap().with_file_name("file"), "").unwrap();
    let no_folder =
        LoadOptions { cache: Some(bench.cache().parent().unwrap().with_file_name("file")), ..good() };
    fails([good(), no_folder], ["process 1: cannot write", "cannot write"]);
}
