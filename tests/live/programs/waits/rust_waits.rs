// Waits of Rust's standard library. Nothing there records an owner. The lines are those of
// wait_truth.h; `object` is where the std object begins (its futex word lies inside), 0 where the
// waiter sleeps on a word of its own.

use std::os::raw::c_long;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{mpsc, Barrier, Condvar, Mutex, Once, RwLock};
use std::thread;
use std::time::Duration;

extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
}

fn own_tid() -> i64 {
    unsafe { syscall(186) as i64 } // gettid on x86-64
}

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());
static HOLDER: AtomicI64 = AtomicI64::new(0);
static HELD: Mutex<i32> = Mutex::new(0);
static WRITTEN: RwLock<i32> = RwLock::new(0);
static READ: RwLock<i32> = RwLock::new(0);
static GUARD: Mutex<i32> = Mutex::new(0);
static CONDITION: Condvar = Condvar::new();
static TIMED_GUARD: Mutex<i32> = Mutex::new(0);
static TIMED_CONDITION: Condvar = Condvar::new();
static ONCE: Once = Once::new();

struct Says {
    name: &'static str,
    kinds: &'static str,
    object: usize,
    size: usize,
    ends: &'static str,
    mode: &'static str,
    holder: i64,
    target: i64,
    calls: &'static str,
    elsewhere: bool,
}

fn says<T>(name: &'static str, kinds: &'static str, object: Option<&T>) -> Says {
    let at = object.map_or(0, |one| one as *const T as usize);
    Says { name, kinds, object: at, size: std::mem::size_of::<T>(), ends: "never", mode: "",
           holder: 0, target: 0, calls: "futex", elsewhere: at == 0 }
}

impl Says {
    fn held(mut self, tid: i64) -> Says { self.holder = tid; self }
    fn timed(mut self) -> Says { self.ends = "timeout"; self }
    fn with_mode(mut self, mode: &'static str) -> Says { self.mode = mode; self }
    fn target(mut self, tid: i64) -> Says { self.target = tid; self }
    fn call(mut self, name: &'static str) -> Says { self.calls = name; self }
    // Older versions sleep on a word of the waiter.
    fn or_elsewhere(mut self) -> Says { self.elsewhere = true; self }
    fn goes(self) {
        let mut text = format!(
            "{{\"tid\":{},\"name\":\"{}\",\"kinds\":\"{}\",\"ends\":\"{}\",\"state\":\"blocked\",\
             \"calls\":\"{}\",\"holder_readable\":false",
            own_tid(), self.name, self.kinds, self.ends, self.calls);
        if self.object != 0 {
            text += &format!(",\"object\":{},\"size\":{}", self.object, self.size);
        }
        if self.elsewhere { text += ",\"elsewhere\":true"; }
        if !self.mode.is_empty() { text += &format!(",\"mode\":\"{}\"", self.mode); }
        if self.target != 0 { text += &format!(",\"target\":{}", self.target); }
        if self.holder != 0 { text += &format!(",\"holders\":[{}]}}", self.holder); }
        else { text += ",\"holders\":[]}"; }
        LINES.lock().unwrap().push(text);
    }
}

fn start<F: FnOnce() + Send + 'static>(run: F) -> thread::JoinHandle<()> {
    thread::Builder::new().stack_size(256 << 10).spawn(run).unwrap()
}

fn sleep_forever() -> ! {
    loop { thread::sleep(Duration::from_secs(100_000)); }
}

fn nap() { thread::sleep(Duration::from_millis(5)); }

fn hold() {
    let _a = HELD.lock().unwrap();
    let _b = WRITTEN.write().unwrap();
    let _c = READ.read().unwrap();
    says::<i32>("Rust thread::sleep", "sleep", None)
        .timed()
        .call("clock_nanosleep nanosleep")
        .goes();
    HOLDER.store(own_tid(), Ordering::SeqCst);
    sleep_forever();
}

fn start_locks(holder: i64) {
    start(move || {
        says("Rust Mutex", "mutex", Some(&HELD)).held(holder).with_mode("exclusive").goes();
        let _held = HELD.lock();
    });
    start(move || {
        says("Rust RwLock reader", "rwlock", Some(&WRITTEN)).held(holder).with_mode("read").goes();
        let _held = WRITTEN.read();
    });
    start(move || {
        says("Rust RwLock writer", "rwlock", Some(&READ)).held(holder).with_mode("write").goes();
        let _held = READ.write();
    });
    start(|| {
        let mut guard = GUARD.lock().unwrap();
        says("Rust Condvar", "condition", Some(&CONDITION)).goes();
        loop { guard = CONDITION.wait(guard).unwrap(); }
    });
    start(|| {
        let mut guard = TIMED_GUARD.lock().unwrap();
        says("Rust Condvar timed", "condition", Some(&TIMED_CONDITION)).timed().goes();
        loop {
            guard = TIMED_CONDITION.wait_timeout(guard, Duration::from_secs(100_000)).unwrap().0;
        }
    });
}

fn main() {
    start(hold);
    while HOLDER.load(Ordering::SeqCst) == 0 { nap(); }
    start_locks(HOLDER.load(Ordering::SeqCst));
    start(|| {
        says::<i32>("Rust park", "futex semaphore condition", None).goes();
        loop { thread::park(); }
    });
    let (tid_sender, tid_receiver) = mpsc::channel();
    start(move || {
        let sleeper = start(move || { tid_sender.send(own_tid()).unwrap(); sleep_forever() });
        let tid = tid_receiver.recv().unwrap();
        says::<i32>("Rust JoinHandle", "thread_exit", None).target(tid).goes();
        sleeper.join().unwrap();
    });
    let (sender, receiver) = mpsc::channel::<i32>();
    start(move || {
        says::<i32>("Rust mpsc recv", "queue futex condition", None).goes();
        let _got = receiver.recv();
    });
    let barrier: &'static Barrier = Box::leak(Box::new(Barrier::new(3)));
    start(move || {
        says("Rust Barrier", "barrier condition", Some(barrier)).goes();
        barrier.wait();
    });
    let (once_sender, once_receiver) = mpsc::channel();
    start(move || ONCE.call_once(|| { once_sender.send(own_tid()).unwrap(); sleep_forever() }));
    let runner = once_receiver.recv().unwrap();
    start(move || {
        says("Rust Once waiter", "once", Some(&ONCE)).held(runner).or_elsewhere().goes();
        ONCE.call_once(|| ());
    });
    while LINES.lock().unwrap().len() < 11 { nap(); }
    let text = LINES.lock().unwrap().join(",");
    println!("READY {{\"pid\":{},\"threads\":[{}],\"skipped\":[]}}", std::process::id(), text);
    let _kept = sender;
    sleep_forever();
}
