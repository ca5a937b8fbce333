// The ZeroMQ lens: who waits for a context to end, and for which sockets; which of libzmq's
// functions other threads are in; names for its own threads.
#pragma once

#include "lens/glibc/waits.hpp"
#include "lens/ledger.hpp"
#include "lens/stacks.hpp"

namespace coldcase::zmq {

// After the native waits are there.
void look_at_zmq(const View& view, const NativeWaits& native, const std::vector<StackMap>& stacks,
                 Ledger& ledger);

}  // namespace coldcase::zmq
