#include "stub/hub/memory_view.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "arch/x86/paging.hpp"

namespace ringside::hub {

std::optional<Gpa> MemoryView::translate(const x86::PagingState& paging, Gva at) const {
  const x86::WalkResult leaf = x86::walk(paging, at, memory_);
  if (!leaf) return std::nullopt;
  return leaf->gpa;
}

Bytes MemoryView::read_physical(Gpa at, std::size_t size) const {
  Bytes data(size);
  if (!memory_.read(at, data)) {
    // Not all of it is there: byte count of the prefix by pages.
    std::size_t done = 0;
    while (done < size) {
      const std::size_t step = std::min(size - done, bytes_to_page_end(at + done));
      if (!memory_.read(at + done, MutableByteView(data).subspan(done, step))) break;
      done += step;
    }
    data.resize(done);
  }
  for (auto site = sites_.lower_bound(at); site != sites_.end() && site->first - at < data.size(); ++site) {
    std::uint8_t& byte = data[static_cast<std::size_t>(site->first - at)];
    if (byte == kInt3 && !is_lifted(site->first)) byte = site->second.original;
  }
  return data;
}

Bytes MemoryView::read_virtual(const x86::PagingState& paging, Gva at, std::size_t size) const {
  Bytes data;
  data.reserve(size);
  while (data.size() < size) {
    const Gva here = at + data.size();
    const std::optional<Gpa> where = translate(paging, here);
    if (!where) break;
    const std::size_t step = std::min(size - data.size(), bytes_to_page_end(here));
    const Bytes piece = read_physical(*where, step);
    data.insert(data.end(), piece.begin(), piece.end());
    if (piece.size() < step) break;
  }
  return data;
}

Result<void> MemoryView::write_physical(Gpa at, ByteView data) {
  Bytes below(data.begin(), data.end());
  const auto first = sites_.lower_bound(at);
  const auto inside = [&](auto site) { return site != sites_.end() && site->first - at < data.size(); };
  for (auto site = first; inside(site); ++site) {
    if (!is_lifted(site->first) && still_there(site->first))
      below[static_cast<std::size_t>(site->first - at)] = kInt3;
  }
  if (!memory_.write(at, below)) {
    return fail(Errc::kNotMapped, fmt::format("no memory at guest-physical {:#x}", at.value));
  }
  for (auto site = first; inside(site); ++site) {
    const std::uint8_t own = data[static_cast<std::size_t>(site->first - at)];
    changed_ = site->second.original.exchange(own) != own || changed_;
  }
  return {};
}

Result<void> MemoryView::write_virtual(const x86::PagingState& paging, Gva at, ByteView data) {
  std::map<std::size_t, Gpa> pieces;  // offset -> where; all are found before the first byte is written
  for (std::size_t done = 0; done < data.size(); done += bytes_to_page_end(at + done)) {
    const std::optional<Gpa> where = translate(paging, at + done);
    if (!where) return fail(Errc::kNotMapped, fmt::format("{:#x} is not mapped", (at + done).value));
    if (!memory_.load_at<std::uint8_t>(*where)) {
      return fail(Errc::kNotMapped, fmt::format("no memory behind {:#x}", (at + done).value));
    }
    pieces.emplace(done, *where);
  }
  for (const auto& [offset, where] : pieces) {
    const std::size_t size = std::min(data.size() - offset, bytes_to_page_end(at + offset));
    RS_TRY(write_physical(where, data.subspan(offset, size)));
  }
  return {};
}

void MemoryView::poke(Gpa where, std::uint8_t value) { RS_CHECK(memory_.write(where, {&value, 1})); }

bool MemoryView::still_there(Gpa where) const { return memory_.load_at<std::uint8_t>(where) == kInt3; }

Result<void> MemoryView::insert(Gva at, Gpa where) {
  const auto original = memory_.load_at<std::uint8_t>(where);
  if (!original) return fail(Errc::kNotMapped, fmt::format("no memory behind {:#x}", at.value));
  auto [site, fresh] = sites_.try_emplace(where);
  site->second.at.insert(at);
  where_[at] = where;
  if (!fresh) return {};
  site->second.original = *original;
  poke(where, kInt3);
  return {};
}

void MemoryView::remove(Gva at) {
  const auto known = where_.find(at);
  if (known == where_.end()) return;
  const auto site = sites_.find(known->second);
  where_.erase(known);
  site->second.at.erase(at);
  if (!site->second.at.empty()) return;
  if (still_there(site->first)) poke(site->first, site->second.original);
  sites_.erase(site);
}

void MemoryView::lift(Gpa where) {
  lifted_ = where;
  const auto site = sites_.find(where);
  if (site != sites_.end() && still_there(where)) poke(where, site->second.original);
}

// The instruction stepped over may have rewritten its own first byte: then that is the guest's byte now.
void MemoryView::lower(Gpa where) {
  lifted_.reset();
  const auto site = sites_.find(where);
  if (site != sites_.end()) take_over(where, site->second);
}

void MemoryView::lift_all() {
  for (auto& [where, site] : sites_) {
    site.lifted = still_there(where);
    if (site.lifted) poke(where, site.original);
  }
  all_lifted_ = true;
}

void MemoryView::lower_all() {
  all_lifted_ = false;
  for (auto& [where, site] : sites_) {
    if (std::exchange(site.lifted, false)) take_over(where, site);
  }
}

void MemoryView::take_over(Gpa where, Int3Site& site) {
  const std::uint8_t own = memory_.load_at<std::uint8_t>(where).value_or(site.original);
  if (own != site.original) {  // else nobody has written there: OwnByte::before() stays what it is
    site.original = own;
    changed_ = true;
  }
  poke(where, kInt3);
}

const Int3Site* MemoryView::site_at(Gpa where) const {
  const auto site = sites_.find(where);
  return site == sites_.end() ? nullptr : &site->second;
}

}  // namespace ringside::hub
