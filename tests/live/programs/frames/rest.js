// Rests in Atomics.wait, below JavaScript functions and a built-in that calls back.
function inner(value) {
  console.log('READY {"pid":' + process.pid + ',"threads":{},"settles":{}}');
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  return value;
}
function outer(value) {
  return inner(value + 1) + 1;
}
[1].forEach((value) => outer(value));
