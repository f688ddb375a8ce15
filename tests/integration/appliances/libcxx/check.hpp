// One line for each check, and their count.
#pragma once

void check(bool good, const char* what);
#define CHECK(condition) check((condition), #condition)

void check_language();
void check_threads();
void check_library();
void check_numbers();

/// A constant that only the optimisation of the program as a whole can know.
int defined_elsewhere();
