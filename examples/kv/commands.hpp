// What each command does.
#pragma once

#include <string>
#include <vector>

#include "store.hpp"

/// The answer to a command, in the protocol's form; whatever goes wrong is an answer too. `words` has at least one.
std::string answer(Store& store, const std::vector<std::string>& words);
