use roentgen_tensor::conv2d::*; use roentgen_tensor::rng::*; use std::time::Instant;
fn main(){ let b:usize=std::env::args().nth(1).map_or(128,|s|s.parse().unwrap()); let f=std::env::args().nth(2).unwrap_or_default();
 let mut rng=CounterRng::new(0,Purpose::Synthetic,1,0);
 let layers=[("conv1",24,1,64),("conv2",24,64,128),("res1",12,128,128),("conv3",12,128,256),("conv4",6,256,512),("res2",3,512,512)];
 let mut total=0.0;
 for (name,h,ci,co) in layers { if !name.contains(&f[..]) {continue;}
  let g=Conv2dGeometry::new(b,h,h,ci,co); let mut r=|n:usize|(0..n).map(|_|rng.range(-1.0,1.0)).collect::<Vec<f32>>();
  let (x,w,bi,gy)=(r(g.x_len()),r(g.weight_len()),r(co),r(g.y_len())); let (mut y,mut gx,mut gw)=(vec![0.0;g.y_len()],vec![0.0;g.x_len()],vec![0.0;g.weight_len()]);
  let mut t=|k:usize|{ let s=Instant::now(); match k {0=>conv2d_forward(&g,&x,&w,&bi,&mut y),1=>conv2d_backward_input(&g,&gy,&w,&mut gx),_=>conv2d_backward_weight(&g,&x,&gy,&mut gw)}; s.elapsed().as_secs_f64()*1e3};
  print!("{name:6}"); let only=std::env::args().nth(3).map(|s|s.parse::<usize>().unwrap()); for k in 0..3 { if only.is_some_and(|o|o!=k){continue;} let mut ts:Vec<f64>=(0..if only.is_some(){60}else{15}).map(|_|t(k)).collect(); ts.sort_by(f64::total_cmp); print!(" {:7.2} (min {:5.2})",ts[7],ts[0]); total+=ts[7]*if name.starts_with("res"){2.0}else{1.0}; } println!(); }
 println!("total {total:.1}");
}
