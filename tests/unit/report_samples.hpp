// Analyses written by hand for the tests of the report: no core is needed behind the memory wall.
#pragma once

#include <coldcase/report.hpp>
#include <string>

namespace coldcase::test {

Analysis ring_sample();          // two threads, the GIL and a mutex, and idle threads beside them
Analysis crash_sample();         // a null pointer in C++ called from Python
Analysis healthy_sample();       // nothing wrong
Analysis inconclusive_sample();  // too little read to judge
Analysis hostile_sample();       // names full of markup and control characters

std::string json_of(const Analysis& analysis);
std::string text_of(const Analysis& analysis, const RenderOptions& options = {});
std::string markdown_of(const Analysis& analysis, const RenderOptions& options = {});
std::string file_text(const std::string& path);

}  // namespace coldcase::test
