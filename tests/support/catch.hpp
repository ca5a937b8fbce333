// Catch2 through one door: version 3 renamed its headers.
#pragma once

#include <catch2/catch.hpp>
