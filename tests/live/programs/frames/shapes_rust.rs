// Stacks that Rust makes: closures in iterators, trait objects, a panic on its way through frames.
// Each thread ends in pause().

use std::collections::BTreeMap;
use std::fmt::Display;
use std::os::raw::{c_int, c_long};
use std::sync::mpsc;
use std::thread;

extern "C" {
    fn pause() -> c_int;
    fn syscall(number: c_long, ...) -> c_long;
}

type Say = mpsc::Sender<i64>;

#[inline(never)]
fn rest(say: &Say) {
    say.send(unsafe { syscall(186) } as i64).unwrap(); // gettid on x86-64
    loop {
        unsafe { pause() };
    }
}

trait Shape {
    fn area(&self, factor: u64) -> u64;
}
struct Square<'a>(u64, &'a Say);
impl Shape for Square<'_> {
    fn area(&self, factor: u64) -> u64 {
        rest(self.1);
        self.0 * self.0 * factor
    }
}
#[inline(never)]
fn total(shapes: &[Box<dyn Shape + '_>]) -> u64 {
    shapes.iter().map(|shape| shape.area(2)).sum()
}
fn trait_objects(say: Say) {
    println!("# {}", total(&[Box::new(Square(3, &say))]));
}

#[inline(never)]
fn generic<Key: Ord + Display, Work: Fn(&Key) -> bool>(keys: Vec<Key>, work: Work) -> usize {
    let map: BTreeMap<_, _> = keys.iter().map(|key| (key, 1)).collect();
    map.iter().filter(|(key, _)| work(key)).count()
}
fn closures(say: Say) {
    let found = generic(vec!["a".to_string(), "b".to_string()], |key| {
        rest(&say);
        key.is_empty()
    });
    println!("# {}", found);
}

struct Guard<'a>(&'a Say);
impl Drop for Guard<'_> {
    fn drop(&mut self) {
        rest(self.0);
    }
}
#[inline(never)]
fn panics(depth: u32, say: &Say) -> u32 {
    let _guard = if depth == 2 { Some(Guard(say)) } else { None };
    if depth == 0 {
        panic!("far away");
    }
    panics(depth - 1, say) + 1
}
fn panicking(say: Say) {
    println!("# {}", panics(4, &say));
}

fn main() {
    let all: [(&str, fn(Say)); 3] =
        [("trait_objects", trait_objects), ("closures", closures), ("panicking", panicking)];
    let mut threads = Vec::new();
    for (name, work) in all {
        let (say, hear) = mpsc::channel();
        thread::Builder::new().name(name.to_string()).spawn(move || work(say)).unwrap();
        threads.push((name, hear.recv().unwrap()));
    }
    let of = |what: fn(&(&str, i64)) -> String| threads.iter().map(what).collect::<Vec<_>>().join(",");
    println!(
        "READY {{\"pid\":{},\"threads\":{{{}}},\"settles\":{{{}}}}}",
        std::process::id(),
        of(|(name, tid)| format!("\"{}\":{}", name, tid)),
        of(|(name, _)| format!("\"{}\":\"pause\"", name))
    );
    loop {
        unsafe { pause() };
    }
}
