//! Both databases. The only place that knows SQL.
