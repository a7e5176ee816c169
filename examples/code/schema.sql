-- Orders of a shop; about 40 million rows in orders, 120 million in order_items.
CREATE TABLE customers (
  id serial PRIMARY KEY,
  email text,
  created_at timestamp DEFAULT now()
);

CREATE TABLE orders (
  id serial PRIMARY KEY,
  customer_id integer,
  status text,
  total real,
  created_at timestamp DEFAULT now()
);

CREATE TABLE order_items (
  order_id integer,
  product_id integer,
  quantity integer,
  price real
);

-- The slowest query of the month, 9 s on average:
-- SELECT o.id, sum(i.quantity * i.price)
-- FROM orders o JOIN order_items i ON i.order_id = o.id
-- WHERE lower(o.status) = 'open' AND o.created_at::date = current_date
-- GROUP BY o.id ORDER BY o.created_at DESC LIMIT 50;
