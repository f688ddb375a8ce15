// One line for each check, and their count.
#pragma once

void check(bool good, const char* what);
#define CHECK(condition) check((condition), #condition)

void check_language();
void check_threads();
void check_library();
void check_numbers();
