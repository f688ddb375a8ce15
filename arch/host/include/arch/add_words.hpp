// The image's own instructions where the host has them, so that the tests see them.
#pragma once

#if defined(__x86_64__)
#include "arch/x86_64/include/arch/add_words.hpp"
#elif defined(__aarch64__)
#include "arch/aarch64/include/arch/add_words.hpp"
#endif
