create table items (
  sku text primary key check (sku ~ '^[A-Z0-9][A-Z0-9-]{0,31}$'),
  name text not null check (length(name) between 1 and 200),
  quantity bigint not null default 0 check (quantity >= 0)
);

create table movements (
  id bigint generated always as identity primary key,
  sku text not null references items (sku),
  quantity bigint not null check (quantity <> 0),
  reason text not null check (length(reason) between 1 and 200),
  at timestamptz not null default now()
);

create index movements_by_item on movements (sku, id);
