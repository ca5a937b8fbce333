// What the patterns of locks without a living holder share. Internal to this stage.
#pragma once

#include "diagnose/scene.hpp"

namespace coldcase {

struct Orphan {
  ResourceId lock;
  std::vector<ThreadId> waiters;  // that wait for it without end
  std::vector<ThreadId> behind;   // that wait for those
};

// Orphaned resources with waiters, those whose owner_unknown code is one of these.
std::vector<Orphan> find_orphans(const Scene& scene, std::initializer_list<std::string_view> codes);

// "mutex", "threading.RLock": what kind of lock it is, for headlines.
std::string lock_word(const ResourceFact& lock);

// "a mutex", "an import lock".
std::string with_article(const std::string& noun);

// The members every orphan finding has: waits of all involved, who is behind. The caller adds
// headline, what became of the holder, and advice.
Finding orphan_finding(const Scene& scene, const Orphan& orphan, std::string_view pattern,
                       Confidence confidence);

// lost-wakeup, of workers that were ordered to end.
std::vector<Finding> find_lost_orders(const Scene& scene);
// The same, of results that a process pool's worker took to its grave.
std::vector<Finding> find_lost_results(const Scene& scene);

}  // namespace coldcase
