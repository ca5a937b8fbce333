// Names of functions as people say them.
#pragma once

#include <string>

namespace coldcase {

// "int bank::move<Gold>(Account&, long)" is bank::move<Gold>, "(anonymous namespace)::save()" save.
// "bank::move(int)::{lambda()#1}::operator()() const" is bank::move's lambda. Operators stay whole,
// and Go's methods, "main.(*Bank).Move".
std::string plain_function(std::string function);

// With its parameters, as a sentence that also tells the line has it; a lambda as above.
std::string spoken_function(const std::string& function);

}  // namespace coldcase
