// Shared by the program and its library, so that dwz finds DWARF that both have.
#pragma once

#include <mutex>
#include <string>

struct Account {
  std::mutex lock;
  std::string owner;
  long balance = 0;
};

struct Bank {
  Account first, second;
};

// Of libring.so: takes the account's lock and changes its balance.
__attribute__((visibility("default"))) void post(Account& account, long amount);
