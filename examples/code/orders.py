"""Order totals of a small shop."""

from __future__ import annotations

from dataclasses import dataclass, field

FREE_SHIPPING_FROM = 50.0
SHIPPING = 4.9


@dataclass
class Item:
    name: str
    price: float
    quantity: int = 1


@dataclass
class Order:
    items: list[Item] = field(default_factory=list)
    discount_percent: float = 0.0
    coupon: str | None = None

    def subtotal(self) -> float:
        total = 0.0
        for item in self.items:
            total += item.price * item.quantity
        return total * (1 - self.discount_percent / 100)

    def shipping(self) -> float:
        if self.subtotal() > FREE_SHIPPING_FROM:
            return 0.0
        return SHIPPING

    def total(self) -> float:
        total = self.subtotal() * (1 - self.discount_percent / 100)
        if self.coupon == "WELCOME":
            total = total - 10
        return round(total + self.shipping(), 2)


def cheapest(items: list[Item]) -> Item:
    best = items[0]
    for item in items:
        if item.price < best.price:
            best = item
    return best


def merge(first: Order, second: Order) -> Order:
    """Put the items of both orders into one."""
    merged = first
    merged.items.extend(second.items)
    return merged
