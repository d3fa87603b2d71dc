// What a strace client is sent: one record for each thing that happened to a task.
//
// On the wire a record is a length and then fields, each with its number, so that either side may be older: a
// reader skips fields that it does not know, and those that are missing have the values below.
//
//   record := varint(bytes that follow) field*
//   field  := varint(number << 1)     varint(value)
//           | varint(number << 1 | 1) varint(bytes) bytes
//
// varint: little-endian groups of seven bits, the top bit set on all but the last.  Numbers of fields and
// kinds never change their meaning (docs/protocol.md).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "arch/bytes.hpp"
#include "stub/strace/call.hpp"

namespace ringside::strace {

struct Record {
  enum class Kind : std::uint8_t {
    kNone = 0,     // of a newer monitor: skipped
    kEntry = 1,    // a call begins: name, text, more
    kReturn = 2,   // it returns: the rest of the text, result, took
    kSignal = 3,   // delivered to the task: text
    kExit = 4,     // the task is gone: code as for wait4
    kNewTask = 5,  // the first of a task: parent
    kLost = 6,     // here `lost` records are missing
    kNote = 7,     // text for the person: what is waited for, what cannot be had
    kCount = 8,    // mode=count: calls, errors, took (sum) of one call
  };
  Kind kind = Kind::kNone;
  std::uint64_t time_ns = 0;  // since 1970, by the monitor's host
  std::uint32_t cpu = 0;
  std::int32_t pid = 0;   // of the thread
  std::int32_t tgid = 0;  // of the process
  std::string_view comm = {};
  Abi abi = Abi::kX64;
  std::uint32_t number = 0;
  std::string_view name = {};
  std::string_view text = {};  // arguments are separated by Text::kNextArgument
  bool more = false;           // kEntry: arguments follow at the return
  std::int64_t result = 0;
  std::string_view result_text = {};
  std::uint64_t took_ns = 0;
  std::uint64_t lost = 0;
  std::int32_t code = 0;
  std::int32_t parent = 0;
  std::uint64_t calls = 0;
  std::uint64_t errors = 0;
  std::string_view stack = {};  // kReturn (of the entry), kSignal: a frame a line, innermost first
};

// Appends the record, with its length before it, to `into`, without allocating; how many bytes that were, or
// nothing when it does not fit.
std::optional<std::size_t> encode(const Record& record, MutableByteView into) noexcept;

// Takes the first record off `bytes`; nothing when it is not whole.  Its texts point into `bytes`.
std::optional<Record> decode(ByteView& bytes) noexcept;

}  // namespace ringside::strace
