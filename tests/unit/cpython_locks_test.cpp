// Who holds a lock, from bytecode: instructions, calls, and the way of one lock through a function;
// and how claims about one lock are weighed against each other.
#include <algorithm>
#include <sstream>

#include "lens/cpython/lock_claims.hpp"
#include "support/bytecode_samples.hpp"
#include "support/catch.hpp"

namespace coldcase::cpython {
namespace {

using test::BytecodeSample;

std::vector<std::byte> bytes_of(std::string_view hex) {
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes.push_back(static_cast<std::byte>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  return bytes;
}

// One sample, and what its calls on the local `lock` do to the lock.
struct Sample {
  std::vector<std::string> names;
  Routine routine;
  Effects effects;

  explicit Sample(const BytecodeSample& sample) {
    std::istringstream words{std::string(sample.names)};
    for (std::string word; words >> word;) names.push_back(word);
    routine = parse_routine(bytes_of(sample.code), bytes_of(sample.exception_table), sample.minor);
    for (const Call& call : routine.calls) {
      const std::string& name = names.at(call.method);
      if (name == "acquire")
        effects[call.at] = {call.arguments > 0 ? Effect::Kind::try_acquire : Effect::Kind::acquire,
                            call.on.root, call.on.index};
      if (name == "release")
        effects[call.at] = {Effect::Kind::release, call.on.root, call.on.index};
    }
  }

  // The first instruction that loads this global.
  std::size_t at(std::string_view global) const {
    const auto index = std::ranges::find(names, global) - names.begin();
    const auto found = std::ranges::find_if(routine.instructions, [&](const Instruction& one) {
      return one.op == Op::load_global && one.arg == static_cast<std::uint32_t>(index);
    });
    REQUIRE(found != routine.instructions.end());
    return static_cast<std::size_t>(found - routine.instructions.begin());
  }
  LockState before(std::string_view global) const {
    const auto state = state_before(routine, effects, {}, at(global));
    REQUIRE(state);
    return *state;
  }
};

template <class Check>
void each_sample(std::string_view function, Check check) {
  int seen = 0;
  for (const BytecodeSample& sample : test::bytecode_samples) {
    if (sample.function != function) continue;
    INFO("3." << sample.minor << " " << sample.code);
    check(Sample(sample));
    ++seen;
  }
  CHECK(seen == 11);  // 3.6 to 3.13, and three specialised
}

TEST_CASE("every byte of the bytecode belongs to one instruction", "[cpython]") {
  for (const BytecodeSample& sample : test::bytecode_samples) {
    INFO("3." << sample.minor << " " << sample.function);
    const auto code = bytes_of(sample.code);
    const auto instructions = decode(code, sample.minor);
    REQUIRE_FALSE(instructions.empty());
    std::int32_t at = 0;
    for (const Instruction& one : instructions) {
      CHECK(one.begin == at);
      at = one.next;
    }
    CHECK(static_cast<std::size_t>(at) == code.size());
    for (const Instruction& one : instructions) {
      const bool known =
          one.target < 0 ||
          std::ranges::find(instructions, one.target, &Instruction::begin) != instructions.end();
      CHECK(known);
    }
  }
  CHECK(decode(bytes_of("6400"), 5).empty());
}

TEST_CASE("a lock that a finally releases", "[cpython]") {
  each_sample("guarded", [](const Sample& sample) {
    CHECK(sample.before("here").held == Held::yes);
    CHECK(is_guarded(sample.routine, sample.effects, sample.at("here")));
    const LockState after = sample.before("after");
    CHECK(after.held == Held::no);
    CHECK(after.released);
    CHECK_FALSE(after.unpaired);
    CHECK_FALSE(is_guarded(sample.routine, sample.effects, sample.at("after")));
    CHECK(state_on_return(sample.routine, sample.effects, {})->held == Held::no);
  });
}

TEST_CASE("an acquire that may fail is asked", "[cpython]") {
  each_sample("asked", [](const Sample& sample) {
    CHECK(sample.before("failed").held == Held::no);
    CHECK(sample.before("here").held == Held::yes);
    CHECK(sample.before("after").held == Held::no);
  });
}

TEST_CASE("a lock taken and released in a loop", "[cpython]") {
  each_sample("looped", [](const Sample& sample) {
    REQUIRE(sample.routine.calls.size() == 2);
    const Call& call = sample.routine.calls.front();
    CHECK(call.on.root == Op::load_fast);
    CHECK(call.on.attributes.size() == 1);
    CHECK(sample.names.at(call.on.attributes.front()) == "lock");
    CHECK(sample.before("here").held == Held::yes);
    CHECK(sample.before("after").held == Held::no);
  });
}

TEST_CASE("a with block whose body releases", "[cpython]") {
  each_sample("inside", [](Sample sample) {
    std::optional<std::size_t> entry;
    for (const Instruction& one : sample.routine.instructions) {
      const bool handles = one.op == Op::with_except_start || one.op == Op::push_exc_info;
      if (handles && !entry) entry = find_with_entry(sample.routine, one.begin);
    }
    REQUIRE(entry);
    sample.effects[static_cast<std::uint32_t>(*entry)] = {Effect::Kind::acquire};
    CHECK(sample.before("here").held == Held::yes);
    const LockState after = sample.before("after");
    CHECK(after.held == Held::no);
    CHECK(after.released);
  });
}

TEST_CASE("a release of what was not taken", "[cpython]") {
  each_sample("inside", [](const Sample& sample) { CHECK(sample.before("after").unpaired); });
}

TEST_CASE("a name that gets another value takes the lock with it", "[cpython]") {
  each_sample("rebound", [](const Sample& sample) {
    CHECK(sample.before("here").held == Held::yes);
    CHECK(sample.before("after").held == Held::maybe);  // of the last, when there was one
  });
}

TEST_CASE("damaged bytecode ends somewhere", "[cpython]") {
  for (const BytecodeSample& sample : test::bytecode_samples) {
    const auto code = bytes_of(sample.code), table = bytes_of(sample.exception_table);
    for (std::size_t cut = 0; cut < code.size(); cut += 3) {
      auto damaged = code;
      damaged[cut] ^= std::byte{0x5f};
      const Routine routine = parse_routine(damaged, table, sample.minor);
      Effects effects;
      for (const Call& call : routine.calls) effects[call.at] = {Effect::Kind::acquire};
      for (std::size_t i = 0; i < routine.instructions.size(); i += 5) {
        state_before(routine, effects, {}, i);
        is_guarded(routine, effects, i);
      }
      const Routine shorter = parse_routine(Bytes(code).first(cut), table, sample.minor);
      CHECK(shorter.instructions.size() <= code.size());
    }
  }
}

// ---- claims

Claim claim_of(std::size_t thread, Holding::How how, Held held = Held::yes) {
  Claim claim;
  claim.thread = thread;
  claim.holding.how = how;
  claim.holding.held = held;
  claim.holding.recorded = how == Holding::How::with_block;
  return claim;
}

Confidence of_thread(const std::vector<Claim>& claims, std::size_t thread) {
  const auto at = std::ranges::find(claims, thread, &Claim::thread);
  REQUIRE(at != claims.end());
  return at->confidence;
}

using enum Holding::How;

TEST_CASE("claims that stand alone", "[cpython]") {
  std::vector<Claim> block{claim_of(1, with_block)};
  weigh_claims(block, {});
  CHECK(of_thread(block, 1) == Confidence::very_likely);
  std::vector<Claim> maybe{claim_of(1, with_block, Held::maybe)};
  weigh_claims(maybe, {});
  CHECK(of_thread(maybe, 1) == Confidence::likely);
  std::vector<Claim> by_call{claim_of(1, call)};
  weigh_claims(by_call, {});
  CHECK(of_thread(by_call, 1) == Confidence::likely);
  std::vector<Claim> some_ways{claim_of(1, call, Held::maybe)};
  weigh_claims(some_ways, {});
  CHECK(of_thread(some_ways, 1) == Confidence::hypothesis);
  std::vector<Claim> gone{claim_of(1, call, Held::no)};
  weigh_claims(gone, {});
  CHECK(gone.empty());
}

TEST_CASE("rivals doubt each other", "[cpython]") {
  std::vector<Claim> claims{claim_of(1, with_block), claim_of(2, call)};
  weigh_claims(claims, {});
  CHECK(of_thread(claims, 1) == Confidence::likely);
  CHECK(of_thread(claims, 2) == Confidence::likely);
  claims = {claim_of(1, with_block, Held::no), claim_of(2, call)};
  weigh_claims(claims, {});
  CHECK(of_thread(claims, 1) == Confidence::hypothesis);
  CHECK(of_thread(claims, 2) == Confidence::likely);
  claims = {claim_of(1, call), claim_of(2, call)};
  weigh_claims(claims, {});
  CHECK(of_thread(claims, 1) == Confidence::hypothesis);
  CHECK(of_thread(claims, 2) == Confidence::hypothesis);
}

TEST_CASE("a lock that another releases", "[cpython]") {
  std::vector<Claim> claims{claim_of(1, with_block)};
  weigh_claims(claims, {false, {2}, {}});
  CHECK(of_thread(claims, 1) == Confidence::likely);
  Claim signal = claim_of(1, call);
  signal.waits = true;
  signal.holding.again = true;
  claims = {signal};
  weigh_claims(claims, {});
  CHECK(claims.empty());
  claims = {signal};
  weigh_claims(claims, {true, {}, {}});
  CHECK(of_thread(claims, 1) == Confidence::likely);  // nobody else is there
  signal.holding.again = false;
  claims = {signal};
  weigh_claims(claims, {});
  CHECK(of_thread(claims, 1) == Confidence::hypothesis);
  signal.holding.guarded = true;
  claims = {signal};
  weigh_claims(claims, {});
  CHECK(of_thread(claims, 1) == Confidence::likely);
  claims = {signal};
  weigh_claims(claims, {false, {}, {2}});
  CHECK(claims.empty());
}

TEST_CASE("permits of a semaphore", "[cpython]") {
  std::vector<Claim> claims{claim_of(1, with_block), claim_of(2, with_block)};
  weigh_permits(claims, 2);
  CHECK(of_thread(claims, 1) == Confidence::likely);
  weigh_permits(claims, 3);
  CHECK(of_thread(claims, 1) == Confidence::hypothesis);
  weigh_permits(claims, 0);
  CHECK(of_thread(claims, 2) == Confidence::hypothesis);
}

}  // namespace
}  // namespace coldcase::cpython
