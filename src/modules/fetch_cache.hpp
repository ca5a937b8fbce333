// What lies in libdebuginfod's cache from earlier runs, found without the library: for workers that
// have no network, and for whoever wants nobody to be asked.
#pragma once

#include "modules/debuginfod.hpp"

namespace coldcase {

// Where the library keeps its files (debuginfod_find_debuginfo(3), CACHE); empty when nothing
// tells.
std::string cache_folder();

// Of an item, inside the folder of its build-id.
std::string cached_name(const FetchItem& item);

// Where sections are fetched to. Not the same: the library (0.188) takes a section from the program
// when that is in its cache, and where the program was stripped of it says that there is none.
std::string section_folder();

// One answer for each request, in their order. What lies there is not looked into.
std::vector<FetchAnswer> find_cached(const std::vector<FetchRequest>& requests);

}  // namespace coldcase
